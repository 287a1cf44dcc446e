#!/usr/bin/env bash
# From a fresh clone to a surrogate trained on real chemistry, and its evaluation.
set -euo pipefail
cd "$(dirname "$0")"

python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "astrokeras needs Python 3.11 or later; PYTHON=... names another one." >&2
  exit 2
fi

"$python" -m venv .venv
.venv/bin/pip install --quiet --editable ".[tensorflow,test]"

# A short training: it shows the way and beats the baselines, the preset is better.
.venv/bin/astrokeras train --overwrite name=quickstart \
  autoencoder.fit.epochs=40 emulator.fit.epochs=150
.venv/bin/astrokeras evaluate quickstart

cat <<'END'

The report with its figures is saved_models/quickstart/report.html.
Next: .venv/bin/python -m pytest      runs the tests
      .venv/bin/astrokeras --help     lists the commands
END
