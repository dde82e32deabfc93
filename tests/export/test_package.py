"""The public names of vaedge_export."""

import vaedge
import vaedge_export


def test_public_names_are_exactly_these():
    errors = {
        *("AgreementError", "DependenceError", "DeterminismError", "ExportError", "FiniteError", "LossError"),
        *("MeaningError", "PurityError", "SignatureError", "SizeError", "TrainingModeError", "VerificationError"),
    }
    functions = {"export_run", "export_vae", "upgrade_bundle", "write_triton"}
    assert vaedge_export.__all__ == sorted(errors | functions | {"Provenance"})
    assert all(hasattr(vaedge_export, name) for name in vaedge_export.__all__)
    for name in errors:
        assert issubclass(getattr(vaedge_export, name), vaedge_export.ExportError)
    assert issubclass(vaedge_export.ExportError, vaedge.VaedgeError)
    assert issubclass(vaedge_export.ExportError, ValueError)


def test_checks_raise_verification_errors_but_a_loss_is_no_failed_check():
    assert issubclass(vaedge_export.PurityError, vaedge_export.VerificationError)
    assert not issubclass(vaedge_export.LossError, vaedge_export.VerificationError)
