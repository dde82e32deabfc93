"""Write the hostile bundles to a folder: run `python -m hostile GOOD_BUNDLE FOLDER` in the folder `tests`."""

import json
import sys
from pathlib import Path

from hostile.corpus import CORPUS, make_bundle

good, folder = (Path(word) for word in sys.argv[1:])
for index, name in enumerate(CORPUS):
    make_bundle(good, folder / str(index), name)
(folder / "names.json").write_text(json.dumps(list(CORPUS)))
