"""Whether an operator command on Kafka is obeyed: signed with the operator key, where the service has one."""

from datetime import UTC, datetime

from aiokafka import ConsumerRecord

from shipway.contract.commandseal import check_seal
from shipway.contract.envelope import Envelope
from shipway.contract.topics import OPERATOR_COMMANDS
from shipway.runtime import log
from shipway.runtime.authsettings import CommandSettings
from shipway.runtime.handling import Admission

_log = log.get(__name__)


def command_admission(settings: CommandSettings) -> Admission:
    """What a consumer asks before it handles an event: Permanent for a command without a good signature."""
    key = settings.operator_key.get_secret_value().encode()
    if not key:
        _log.warning("operator commands need no signature: set AUTH__OPERATOR_KEY, or hold the topic by Kafka's ACLs")

    def admit(record: ConsumerRecord, event: Envelope) -> None:
        if key and isinstance(event.payload, OPERATOR_COMMANDS.types):
            check_seal(
                record.value,
                record.headers,
                key,
                given_at=event.time,
                now=datetime.now(UTC),
                window_s=settings.command_window_s,
            )

    return admit
