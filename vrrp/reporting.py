"""What the operator's programs are told, of instances and of groups as a whole."""

from collections.abc import Iterable, Mapping

from vrrp.notify import Kind, Notice, Notifier, Program, Turn, turn_of_group
from vrrp.runner import Runner


class Reporter:
    """Knows what was told last, and tells what is news."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._programs: Mapping[str, Program] = {}
        self._members: dict[str, list[Runner]] = {}
        self._told: dict[str, Turn] = {}

    def programs(self, of_groups: Mapping[str, Program]) -> None:
        """From now on tell these what becomes of sync groups, by their names."""
        self._programs = of_groups

    def join(self, group: str, members: Iterable[Runner]) -> None:
        """From now on these are the group."""
        self._members[group] = list(members)

    def turned(self, runner: Runner, turn: Turn) -> None:
        """Tell that ``runner`` has become ``turn``, and what its group is by that."""
        instance = runner.instance
        priority = runner.router.priority
        if instance.notify:
            self._notifier.tell(
                Notice(instance.notify, Kind.INSTANCE, runner.name, turn, priority)
            )
        group = instance.group
        program = self._programs.get(group)
        if program is None:
            return
        turns = [each.turn for each in self._members[group]]
        known = [each for each in turns if each]
        if len(known) < len(turns):
            return  # the others have yet to begin
        whole = turn_of_group(known)
        if whole is not self._told.get(group):
            self._told[group] = whole
            self._notifier.tell(Notice(program, Kind.GROUP, group, whole, priority))
