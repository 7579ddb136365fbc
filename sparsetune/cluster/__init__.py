"""Ray alone: sessions, the Tune engine, its worker and schedulers; sets Ray's variables."""

import os

# Without it Ray builds a second environment for its workers under `uv run`.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
# Tune would move a worker into a folder of its trial.
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
# The ledger replaces Ray's own files.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
# Signals are ours: trials save before they stop.
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
# Tune's own state is never resumed from: once a day is as good as never.
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "86400")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
