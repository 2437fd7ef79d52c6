"""Autobahn's fuzzing client against `builtin:echo`: with one shard, with four, and over TLS.

Every case of the sections below must be OK, and so must the way it closes. A case that passes
only "non-strictly" fails; three cases are informational by their own definition.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "python"))
from server import Server  # noqa: E402

SECTIONS = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"]
# An early end must not look like success.
CASES = 301
INFORMATIONAL = {"7.1.6", "7.13.1", "7.13.2"}
# Shards, and whether over TLS. Above it everything is the same, so one run is enough there.
RUNS = [(1, False), (4, False), (4, True)]
TIMEOUT_SECONDS = 300

# Section 9 sends and wants back messages of 16 MiB.
CONFIGURATION = """
[limits]
message_bytes = 67_108_864
replay_bytes = 67_108_864
outbound_queue_bytes = 268_435_456
outbound_queue_messages = 100_000
parked_input_bytes = 16_777_216
[hub_defaults]
anonymous_connect_policy = "allow"
"""

# Started this way because a plain folder of packages knows no console scripts.
LAUNCH = """
import site, sys
site.addsitedir(sys.argv.pop(1))
from autobahntestsuite.wstest import run
run()
"""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--python2", required=True)
    parser.add_argument("--packages", required=True)
    parser.add_argument("--reports", required=True, type=Path)
    options = parser.parse_args()
    # Most cases wait rather than work, so the runs share the machine well.
    with ThreadPoolExecutor(max_workers=len(RUNS)) as pool:
        runs = [(kind, pool.submit(run, *kind, options)) for kind in RUNS]
    failed = 0
    for (shards, tls), result in runs:
        problems = result.result()
        failed += len(problems)
        over = "TLS" if tls else "TCP"
        print(f"shards = {shards} over {over}: {CASES} cases, {len(problems)} problems")
        for problem in problems:
            print(f"  {problem}")
    print(f"{len(RUNS) * CASES - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


def run(shards, tls, options):
    """The problems of one run, worst case all of them."""
    folder = options.reports / (f"shards-{shards}-tls" if tls else f"shards-{shards}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log = folder / "wstest.log"
    tls_folder = str(folder / "data") if tls else None
    with Server(shards, CONFIGURATION, tls_folder=tls_folder) as server, open(log, "wb") as out:
        specification = folder / "specification.json"
        specification.write_text(json.dumps(specify(server, folder, "wss" if tls else "ws")))
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        try:
            subprocess.run(
                [options.python2, "-c", LAUNCH, options.packages]
                + ["--mode", "fuzzingclient", "--spec", str(specification)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=TIMEOUT_SECONDS,
                check=True,
            )
        except subprocess.SubprocessError as error:
            return [f"the fuzzing client: {error}; see {log}"]
    return judge(json.loads((folder / "index.json").read_text())["hubwire"])


def specify(server, folder, scheme):
    return {
        "outdir": str(folder),
        "servers": [
            {"agent": "hubwire", "url": f"{scheme}://127.0.0.1:{server.port}/client/hubs/echo"}
        ],
        "cases": SECTIONS,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }


def judge(results):
    problems = []
    if len(results) != CASES:
        problems.append(f"{len(results)} cases ran, not {CASES}")
    for case, result in sorted(results.items(), key=lambda item: numbers(item[0])):
        verdicts = {result["behavior"], result["behaviorClose"]}
        allowed = {"OK", "INFORMATIONAL"} if case in INFORMATIONAL else {"OK"}
        if not verdicts <= allowed:
            problems.append(
                f"{case}: behavior {result['behavior']}, close {result['behaviorClose']}"
                f" (code {result['remoteCloseCode']})"
            )
    return problems


def numbers(case):
    return [int(part) for part in case.split(".")]


if __name__ == "__main__":
    main()
