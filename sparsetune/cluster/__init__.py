"""Ray alone: sessions, the Tune engine, its worker and schedulers; sets Ray's variables."""

import os

# Without it Ray builds a second environment for its workers under `uv run`.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
# The ledger replaces Ray's own files.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "86400")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
