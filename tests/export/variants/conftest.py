"""A bundle with variants, and the comparison that measures variants against fp32."""

import pytest

import vaedge
from vaedge.bundle.reader import ModelFiles, read_bundle
from vaedge.bundle.reference import Inputs
from vaedge_export import export_run
from vaedge_export.examples import validate_examples
from vaedge_export.graphs import Graphs
from vaedge_export.variants.measure import Comparison


@pytest.fixture(scope="package")
def small(run, tmp_path_factory):
    """The bundle of the fixture `run`, with the variants fp32, int8 and fp16."""
    return export_run(run.path, tmp_path_factory.mktemp("models") / "small", variants=["fp32", "int8", "fp16"])


@pytest.fixture(scope="package")
def spec(run, make_spec):
    return make_spec(run.vae.encoder, run.vae.decoder, input_shape=(1, 28, 28), latent_shape=(8,))


@pytest.fixture(scope="package")
def open_vae(small):
    manifest = vaedge.load(small).manifest
    return lambda name, graphs: vaedge.VAE(ModelFiles(manifest, "fp32", *graphs, None))


@pytest.fixture(scope="package")
def fp32(small):
    bundle = read_bundle(small)
    return Graphs(bundle.encoder, bundle.decoder)


@pytest.fixture(scope="package")
def comparison(run, spec, fp32, open_vae):
    return Comparison(fp32, open_vae, validate_examples(run.examples, spec))


@pytest.fixture(scope="package")
def hundred(run, spec):
    """The first hundred test examples of the fixture `run`."""
    inputs: Inputs = validate_examples(run.examples, spec)
    return inputs.repeated(100)
