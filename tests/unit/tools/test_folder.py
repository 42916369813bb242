"""Which file gave which tools, without any file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from backchannel.tools.definition import same_name
from backchannel.tools.folder import FileBroken, FileFact, FileGone, FileLoaded, Folder

A, B, C = Path("a.py"), Path("b.py"), Path("c.py")


class Fake:
    def __init__(self, name: str) -> None:
        self.tool_name = name

    def __repr__(self) -> str:
        return f"{self.tool_name}@{id(self):x}"


def loaded(*names: str) -> FileLoaded:
    return FileLoaded({name: Fake(name) for name in names})  # type: ignore[misc]


class Registry:
    """What a registry holds after a number of swaps."""

    def __init__(self, *others: str) -> None:
        self.folder = Folder()
        self.others = {name: Fake(name) for name in others}
        self.tools: dict[str, Any] = dict(self.others)

    def handle(self, **facts: FileFact) -> None:
        swap = self.folder.handle({Path(f"{name}.py"): fact for name, fact in facts.items()}, list(self.others))
        for tool in swap.remove:
            assert self.tools.pop(tool.tool_name) is tool
        for tool in swap.add:
            self.tools[tool.tool_name] = tool

    @property
    def names(self) -> list[str]:
        return sorted(set(self.tools) - set(self.others))


def test_tools_come_change_and_go_with_their_file() -> None:
    registry = Registry()
    registry.handle(a=loaded("one", "two"), b=loaded("three"))
    assert registry.names == ["one", "three", "two"]
    before = registry.tools["three"]
    registry.handle(a=loaded("two", "four"))
    assert registry.names == ["four", "three", "two"]
    assert registry.tools["three"] is before
    registry.handle(a=FileGone())
    assert registry.names == ["three"]


def test_a_broken_file_keeps_its_last_tools_until_it_is_good_or_gone() -> None:
    registry = Registry()
    registry.handle(a=loaded("one"))
    registry.handle(a=FileBroken("line 3"))
    assert (registry.names, registry.folder.faults) == (["one"], {A: "line 3"})
    registry.handle(a=loaded("two"))
    assert (registry.names, registry.folder.faults) == (["two"], {})
    registry.handle(a=FileBroken("line 4"), b=FileBroken("line 5"))
    registry.handle(a=FileGone(), b=FileGone())
    assert (registry.names, registry.folder.faults) == ([], {})


def test_a_name_of_another_file_or_tool_is_a_fault_until_it_is_free() -> None:
    registry = Registry("stop")
    registry.handle(a=loaded("look-up"), b=loaded("look_up", "more"), c=loaded("stop"))
    assert registry.names == ["look-up"]
    assert "'look_up' has the name of a.py" in registry.folder.faults[B]
    assert "not of this folder" in registry.folder.faults[C]
    registry.handle(a=FileGone())
    assert registry.names == ["look_up", "more"]
    assert set(registry.folder.faults) == {C}
    registry.others.clear()
    registry.tools.pop("stop")
    registry.handle()
    assert (registry.names, registry.folder.faults) == (["look_up", "more", "stop"], {})


def test_two_files_may_exchange_names_and_a_file_may_be_renamed() -> None:
    registry = Registry()
    registry.handle(a=loaded("x"), b=loaded("y"))
    registry.handle(a=loaded("y"), b=loaded("x"))
    assert (registry.names, registry.folder.faults) == (["x", "y"], {})
    registry.handle(a=FileGone(), c=loaded("y"))
    assert (registry.names, registry.folder.faults) == (["x", "y"], {})


names = st.sampled_from(["one", "two", "three", "a-b", "a_b"])
files = st.one_of(
    st.just(FileGone()),
    st.just(FileBroken("broken")),
    st.lists(names, min_size=1, max_size=3, unique_by=same_name).map(lambda found: loaded(*found)),
)
batches = st.lists(st.dictionaries(st.sampled_from("abcd"), files, max_size=4), max_size=8)


@given(batches, st.sets(st.sampled_from(["one", "a_b"])))
def test_whatever_happens_to_files_the_registry_has_what_they_have(
    changes: list[Mapping[str, FileFact]], others: set[str]
) -> None:
    registry = Registry(*others)
    last: dict[Path, FileFact] = {}
    for batch in changes:
        kept = {path: dict(registry.folder.tools.get(path, {})) for path in (Path(f"{name}.py") for name in batch)}
        registry.handle(**batch)
        last.update({Path(f"{name}.py"): fact for name, fact in batch.items()})
        in_use = [name for tools in registry.folder.tools.values() for name in tools]
        assert sorted(in_use) == registry.names
        assert len({same_name(name) for name in [*in_use, *others]}) == len(in_use) + len(others)
        for name, other in registry.others.items():
            assert registry.tools[name] is other
        for path, fact in last.items():
            tools = registry.folder.tools.get(path, {})
            match fact:
                case FileGone():
                    assert not tools
                    assert path not in registry.folder.faults
                case FileBroken() if path.stem in batch:
                    assert tools == kept[path]
                    assert registry.folder.faults[path] == "broken"
                case FileLoaded(wanted):
                    assert (tools == wanted) == (path not in registry.folder.faults)


@given(batches)
def test_files_that_do_not_disagree_are_all_in_use_at_the_end(changes: list[Mapping[str, FileFact]]) -> None:
    registry = Registry()
    for batch in changes:
        registry.handle(**batch)
    final = {name: loaded(f"tool_{name}") for name in "dcba"}
    registry.handle(**final)
    assert registry.names == [f"tool_{name}" for name in "abcd"]
    assert registry.folder.faults == {}
