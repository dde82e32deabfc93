"""Join JavaScript modules into one script without imports.

The bundler supports the forms of `import` and `export` that the modules of vaedge use, and refuses every other
form. The supported forms are:

    import { a, b as c } from "./file.js";        export const a = ...; export function a() ...; export class A ...
    export { a, b as c } from "./file.js";        export { a, b as c };
"""

import re
from pathlib import Path

from vaedge.errors import VaedgeError

_IMPORT = re.compile(r'^import\s*\{([^}]*)\}\s*from\s*"([^"]+)";[ \t]*$', re.MULTILINE)
_EXPORT_FROM = re.compile(r'^export\s*\{([^}]*)\}\s*from\s*"([^"]+)";[ \t]*$', re.MULTILINE)
_EXPORT_LIST = re.compile(r"^export\s*\{([^}]*)\};[ \t]*$", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:const|class|(?:async )?function\*?) ([\w$]+))", re.MULTILINE)
_OTHER = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_RELATIVE = re.compile(r"""\bimport\(\s*["'`]\..*""")
_NAME = re.compile(r"([\w$]+)(?:\s+as\s+([\w$]+))?")


def bundle_modules(entry: Path) -> str:
    """Return one script that runs a module and all modules that it imports.

    Each module runs once, after its own imports.

    Args:
        entry: File of the module.

    Raises:
        VaedgeError: A module uses a form of `import` or `export` that is not supported, or the modules import each
            other in a cycle.
        OSError: A file cannot be read.
    """
    scripts: dict[Path, str] = {}
    _add(entry.resolve(), scripts, ())
    return '"use strict";\n' + "".join(scripts.values())


def _add(path: Path, scripts: dict[Path, str], importing: tuple[Path, ...]) -> str:
    """Add the script of a module and the scripts of its imports to `scripts`.

    Returns:
        The name of the variable that holds the exports of the module.
    """
    if path in importing:
        raise VaedgeError(f"{path} imports itself, directly or through other modules; remove one of the imports")
    if path not in scripts:
        text = path.read_text(encoding="utf-8")
        exported: dict[str, str] = {}

        def exports_of(source: str) -> str:
            if not source.startswith("."):
                raise VaedgeError(f"{path} imports {source!r}; expected a relative path, such as './state.js'")
            return _add((path.parent / source).resolve(), scripts, (*importing, path))

        def replace_import(match: re.Match[str]) -> str:
            names = ", ".join(f"{name}: {local}" for name, local in _names(path, match[1]))
            return f"const {{ {names} }} = {exports_of(match[2])};"

        def replace_export_from(match: re.Match[str]) -> str:
            source = exports_of(match[2])
            exported.update((public, f"{source}.{name}") for name, public in _names(path, match[1]))
            return ""

        def replace_export_list(match: re.Match[str]) -> str:
            exported.update((public, name) for name, public in _names(path, match[1]))
            return ""

        def replace_export(match: re.Match[str]) -> str:
            exported[match[1]] = match[1]
            return ""

        text = _IMPORT.sub(replace_import, text)
        text = _EXPORT_FROM.sub(replace_export_from, text)
        text = _EXPORT_LIST.sub(replace_export_list, text)
        text = _EXPORT.sub(replace_export, text)
        other = _OTHER.search(text) or _RELATIVE.search(_COMMENT.sub("", text))
        if other:
            raise VaedgeError(
                f"{path}: the bundler does not support {other[0].strip()!r}; import names from a relative path, and "
                "export constants, functions, classes or lists of names"
            )
        result = ", ".join(f"{public}: {name}" for public, name in exported.items())
        scripts[path] = (
            f"// {path.name}\nconst {_variable(path, scripts)} = (() => {{\n{text}\nreturn {{ {result} }};\n}})();\n"
        )
    return _variable(path, scripts)


def _variable(path: Path, scripts: dict[Path, str]) -> str:
    """Return the name of the variable that holds the exports of a module."""
    return f"$module{list(scripts).index(path) if path in scripts else len(scripts)}"


def _names(path: Path, text: str) -> list[tuple[str, str]]:
    """Split "a, b as c" into the pairs ("a", "a") and ("b", "c")."""
    pairs = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _NAME.fullmatch(part)
        if match is None:
            raise VaedgeError(f"{path}: the bundler does not support {part!r}; expected a name, or 'name as other'")
        pairs.append((match[1], match[2] or match[1]))
    return pairs
