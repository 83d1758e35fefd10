"""The groups that models declare to be in (``groups`` of the model file), by their newest declarations."""

from shipway.contract.events import ModelDeclared
from shipway.contract.topics import MODEL_DECLARATIONS
from shipway.runtime.settings import KafkaSettings
from shipway.runtime.tableview import TableView

# Declarations come when people make them: a topic that is silent is no sign of a consumer that is stuck.
_SILENCE_S = 600.0


class Groups:
    """Who is in which group. What was read stays when Kafka goes."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.view = TableView(
            kafka, MODEL_DECLARATIONS, ModelDeclared, accept=_honest, on_change=self._changed, silence_s=_SILENCE_S
        )
        self._of: dict[str, frozenset[str]] = {}

    def members(self, group: str) -> list[str]:
        """The models that declare the group, by name."""
        return sorted(model for model, groups in self._of.items() if group in groups)

    def _changed(self, model: str) -> None:
        declared = self.view.values.get(model)
        groups = declared.spec.get("groups") if declared is not None else None
        if isinstance(groups, list) and groups:
            self._of[model] = frozenset(name for name in groups if isinstance(name, str))
        else:
            self._of.pop(model, None)


def _honest(key: str, new: ModelDeclared, _old: ModelDeclared | None) -> bool:
    return key == new.model
