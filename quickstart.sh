#!/usr/bin/env bash
# From a fresh clone to a surrogate trained on real chemistry, and its evaluation.
set -euo pipefail
cd "$(dirname "$0")"

python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "astrokeras needs Python 3.11 or later; PYTHON=... names another one." >&2
  exit 2
fi

# JAX is the smallest backend to install, and the fastest on CPUs.
if command -v uv > /dev/null; then
  uv venv --quiet --allow-existing --python "$python" .venv
  uv pip install --quiet --python .venv/bin/python --editable ".[jax]"
else
  "$python" -m venv .venv
  .venv/bin/pip install --quiet --editable ".[jax]"
fi

# A short training: it shows the way and beats the baselines, the preset is better.
.venv/bin/astrokeras --backend jax train --overwrite name=quickstart \
  autoencoder.fit.epochs=40 emulator.fit.epochs=150
.venv/bin/astrokeras --backend jax evaluate --quick quickstart

cat <<'END'

The report with its figures is saved_models/quickstart/report.html.
Next: .venv/bin/astrokeras --help     lists the commands
      .venv/bin/pip install --editable ".[test]" && .venv/bin/python -m pytest
                                      runs the tests
END
