"""Stands in for Kafka's kafka-acls.sh, which is in none of the jars that the tests fetch.

    kafka-acls.py BOOTSTRAP USER PASSWORD < lines

Makes the SCRAM user, unless it is empty, then does what each line `kafka-acls.sh ...` says, at BOOTSTRAP; knows
no other option than those that are printed, and `--remove`, and refuses what it doesn't know.
"""

import argparse
import shlex
import sys
import time

from confluent_kafka.admin import (
    AclBinding, AclBindingFilter, AclOperation, AclPermissionType, AdminClient, ResourcePatternType,
    ResourceType, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion,
)

RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional_id": ResourceType.TRANSACTIONAL_ID,
}
# As Kafka's command line writes them.
OPERATIONS = {
    "Read": AclOperation.READ, "Write": AclOperation.WRITE, "Create": AclOperation.CREATE,
    "Describe": AclOperation.DESCRIBE, "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}
MECHANISMS = [ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512]


def main():
    bootstrap, user, password = sys.argv[1:]
    admin = AdminClient({"bootstrap.servers": bootstrap})
    made = [] if not user else [UserScramCredentialUpsertion(
        user, ScramCredentialInfo(mechanism, 4096), password.encode()) for mechanism in MECHANISMS]
    for one in made:
        for future in admin.alter_user_scram_credentials([one]).values():
            future.result(30)
    added, removed = [], []
    for line in sys.stdin:
        asked = read(line)
        (removed if asked.remove else added).extend(bindings(asked))
    if added:
        for future in admin.create_acls(added).values():
            future.result(30)
    if removed:
        for future in admin.delete_acls([as_filter(it) for it in removed]).values():
            assert future.result(30), "there was no such ACL"
    await_broker(admin, added, removed)


def await_broker(admin, added, removed):
    """Controllers change ACLs; a broker hears of it, and answers by it, a moment later."""
    deadline = time.monotonic() + 30
    for binding in added + removed:
        while bool(admin.describe_acls(as_filter(binding)).result(30)) == (binding in removed):
            assert time.monotonic() < deadline, f"the broker has not heard of {binding}"
            time.sleep(0.02)


def as_filter(it):
    return AclBindingFilter(it.restype, it.name, it.resource_pattern_type, it.principal, it.host,
                            it.operation, it.permission_type)


def read(line):
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap-server", required=True)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--add", action="store_true")
    what.add_argument("--remove", action="store_true")
    parser.add_argument("--allow-principal", required=True)
    parser.add_argument("--operation", action="append", choices=OPERATIONS, required=True)
    parser.add_argument("--resource-pattern-type", choices=["literal", "prefixed"], default="literal")
    resource = parser.add_mutually_exclusive_group(required=True)
    for name in RESOURCES:
        resource.add_argument("--" + name.replace("_", "-"))
    script, *arguments = shlex.split(line)
    assert script == "kafka-acls.sh", line
    return parser.parse_args(arguments)


def bindings(asked):
    pattern = ResourcePatternType[asked.resource_pattern_type.upper()]
    [(kind, name)] = [(kind, getattr(asked, kind)) for kind in RESOURCES if getattr(asked, kind)]
    return [
        AclBinding(RESOURCES[kind], name, pattern, asked.allow_principal, "*",
                   OPERATIONS[operation], AclPermissionType.ALLOW)
        for operation in asked.operation
    ]


main()
