#!/bin/sh
# Print a report of the rows that the SQL steps before it returned: they are parameters of the step, as JSON.
# Usage: report.sh TITLE
set -eu

rows() { # NAME COLUMN...: print the rows of a parameter, tab-separated
    python3 - "$@" <<'PYTHON'
import json, os, sys
name, *columns = sys.argv[1:]
with open(os.environ["MAESTRO_PARAMS_FILE"]) as file:
    for row in json.load(file)[name]:
        print(*("" if row[column] is None else row[column] for column in columns), sep="\t")
PYTHON
}

echo "$1"
echo "The ten days with the largest share of late flights:"
rows days day flights late cancelled rain | awk -F '\t' '{
    printf "  %s  %3d %% of %d flights, %d cancelled, %.2f inches of rain in an hour\n", $1, 100 * $3 / $2, $2, $4, $5
}'
echo "And the wind:"
rows winds wind flights late | awk -F '\t' '{ printf "  %-16s %3d %% of %d flights\n", $1, 100 * $3 / $2, $2 }'
