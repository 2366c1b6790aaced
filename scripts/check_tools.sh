#!/bin/sh
# Names what the set-up lacks, in one line. Called by the Makefile.
missing=""
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || missing="$missing python3(>=3.11)"
"$PYTHON" -c 'import venv, ensurepip' 2>/dev/null || missing="$missing python3-venv"
for tool in g++ make perl; do
    command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
if [ -n "$missing" ]; then
    echo "Missing:$missing. Install them with your system's package manager and run make again." >&2
    exit 1
fi
