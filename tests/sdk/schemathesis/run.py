"""schemathesis plays our description of the REST API against servers with one shard and four.

Whatever it makes up, right or wrong, no answer may be a server error, fail to come, or be
something else than the description says.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent / "python"))
from server import Server  # noqa: E402

DESCRIPTION = FOLDER.parent.parent.parent / "docs" / "openapi.yaml"

# Not among them: that valid data is accepted, since no schema can say which filter is one.
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
]
EXAMPLES = 40
# What is left of it after the examples goes into more of them.
RUN_SECONDS = 40
ANSWER_SECONDS = 10
TIMEOUT_SECONDS = 90
# A run whose requests are all refused proves nothing.
LEAST_ACCEPTED = 50
# A run that fails can be repeated.
SEED = 20241201

# Small bodies get the answers for large ones too.
CONFIGURATION = """
[limits]
rest_body_bytes = 4096
"""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--schemathesis", required=True)
    options = parser.parse_args()
    with ThreadPoolExecutor() as pool:
        runs = [(shards, pool.submit(run, shards, options.schemathesis)) for shards in (1, 4)]
    failed = False
    for shards, result in runs:
        passed, output = result.result()
        failed = failed or not passed
        print(f"shards = {shards}: {'passed' if passed else 'FAILED'}")
        print(output if not passed else "\n".join(output.splitlines()[-12:]))
    sys.exit(1 if failed else 0)


def run(shards, program):
    """Whether all went well, and what was printed."""
    with Server(shards, CONFIGURATION) as server, tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.ndjson")
        command = [
            program,
            "run",
            str(DESCRIPTION),
            f"--url={server.endpoint}",
            f"--checks={','.join(CHECKS)}",
            "--phases=examples,coverage,fuzzing",
            f"--max-examples={EXAMPLES}",
            f"--max-time={RUN_SECONDS}",
            f"--request-timeout={ANSWER_SECONDS}",
            f"--seed={SEED}",
            "--generation-database=none",
            "--suppress-health-check=all",
            "--continue-on-failure",
            "--warnings=off",
            "--no-color",
            f"--report-ndjson-path={report}",
        ]
        environment = {
            **os.environ,
            "SCHEMATHESIS_HOOKS": "authorize",
            "PYTHONPATH": str(FOLDER),
            "ACCESS_KEY": server.key,
        }
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                timeout=TIMEOUT_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            return False, f"{error}\n{error.stdout or ''}"
        accepted = len(re.findall(r'"status_code": ?20\d', report.read_text(encoding="utf-8")))
        output = f"{done.stdout}\n{accepted} requests were accepted"
        return done.returncode == 0 and accepted >= LEAST_ACCEPTED, output


if __name__ == "__main__":
    main()
