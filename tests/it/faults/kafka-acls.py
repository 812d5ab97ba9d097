"""Stands in for Kafka's kafka-acls.sh, which is in none of the jars that the tests fetch.

    kafka-acls.py BOOTSTRAP USER PASSWORD < lines

Makes the SCRAM user, then does what each line `kafka-acls.sh ...` says, at BOOTSTRAP; knows no other
option than those that are printed, and refuses what it doesn't know.
"""

import argparse
import shlex
import sys

from confluent_kafka.admin import (
    AclBinding, AclOperation, AclPermissionType, AdminClient, ResourcePatternType, ResourceType,
    ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion,
)

RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional_id": ResourceType.TRANSACTIONAL_ID,
}
# As Kafka's command line writes them.
OPERATIONS = {
    "Read": AclOperation.READ, "Write": AclOperation.WRITE, "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}


def main():
    bootstrap, user, password = sys.argv[1:]
    admin = AdminClient({"bootstrap.servers": bootstrap})
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    made = admin.alter_user_scram_credentials(
        [UserScramCredentialUpsertion(user, info, password.encode())])
    bindings = [binding for line in sys.stdin for binding in read(line)]
    for future in [*made.values(), *admin.create_acls(bindings).values()]:
        future.result(30)


def read(line):
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap-server", required=True)
    parser.add_argument("--add", action="store_true", required=True)
    parser.add_argument("--allow-principal", required=True)
    parser.add_argument("--operation", action="append", choices=OPERATIONS, required=True)
    parser.add_argument("--resource-pattern-type", choices=["literal", "prefixed"], default="literal")
    resource = parser.add_mutually_exclusive_group(required=True)
    for name in RESOURCES:
        resource.add_argument("--" + name.replace("_", "-"))
    script, *arguments = shlex.split(line)
    assert script == "kafka-acls.sh", line
    asked = parser.parse_args(arguments)
    pattern = ResourcePatternType[asked.resource_pattern_type.upper()]
    [(kind, name)] = [(kind, getattr(asked, kind)) for kind in RESOURCES if getattr(asked, kind)]
    return [
        AclBinding(RESOURCES[kind], name, pattern, asked.allow_principal, "*",
                   OPERATIONS[operation], AclPermissionType.ALLOW)
        for operation in asked.operation
    ]


main()
