"""Before any test imports torch: waiting threads must not spin, or tests crawl on a busy machine (see app.cli.main)."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
