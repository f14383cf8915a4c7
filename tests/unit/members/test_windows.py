"""join.ps1, read by a parser of PowerShell: there is no PowerShell to run it in.

What this shows: it is PowerShell that 5.1 and 7 can read, it calls nothing but cmdlets that exist, with
parameters that they have, it uses no variable that is not set, and what it changes it undoes. What it cannot
show is what Windows does with it.
"""

from collections.abc import Iterator
from functools import cache

import pytest
import tree_sitter_powershell
from tree_sitter import Language, Node, Parser
from ztgate import config, kit

from . import cmdlets

# https://learn.microsoft.com/powershell/module/microsoft.powershell.core/about/about_automatic_variables
AUTOMATIC = {
    *("_", "args", "null", "true", "false", "lastexitcode", "pscommandpath"),
    *("env:programfiles", "erroractionpreference"),
}
# Operators that Windows PowerShell 5.1 does not have.
ONLY_IN_7 = {"&&", "||", "??", "??=", "?.", "?["}


@cache
def script() -> bytes:
    values = kit.kit(config.load("network: 8056c2e21c000001\n", "gateway.yaml"), "http://10.66.0.1/")
    return kit.render("join.ps1", values).encode()


def parsed(text: bytes) -> Node:
    return Parser(Language(tree_sitter_powershell.language())).parse(text).root_node


@cache
def tree() -> Node:
    return parsed(script())


def walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from walk(child)


def text(node: Node) -> str:
    assert node.text is not None
    return node.text.decode()


def functions() -> dict[str, Node]:
    return {text(one.children[1]): one for one in walk(tree()) if one.type == "function_statement"}


def commands(node: Node) -> Iterator[tuple[str, set[str]]]:
    """The commands below a node: name, and the parameters that are named."""
    for one in walk(node):
        name = one.child_by_field_name("command_name") if one.type == "command" else None
        if name is not None:
            elements = one.child_by_field_name("command_elements")
            named = elements.children if elements else []
            yield text(name), {text(each)[1:] for each in named if each.type == "command_parameter"}


def variable(node: Node) -> str:
    return text(node).lstrip("$@").strip("{}").removeprefix("script:").lower()


def assigned(node: Node) -> set[str]:
    """The variables that a function, or the script, gives a value."""
    found: set[str] = set()
    for one in walk(node):
        if one.type in ("script_parameter", "foreach_statement"):
            found.add(variable(next(each for each in one.children if each.type == "variable")))
        elif one.type == "left_assignment_expression":
            found |= {variable(each) for each in walk(one) if each.type == "variable"}
    return found


def reached(start: str) -> set[str]:
    """The functions and cmdlets that running one function may come to."""
    found, todo = set[str](), [start]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += [called for called, _ in commands(functions()[name])] if name in functions() else []
    return found


def notes(function: str, *writers: str) -> set[str]:
    """The first words given to some functions, in all that one function may come to."""
    found = set()
    for name in reached(function) & set(functions()):
        for one in walk(functions()[name]):
            called = one.child_by_field_name("command_name") if one.type == "command" else None
            if called is not None and text(called) in writers:
                found.add(text(one).split()[1].strip("()'\""))
    return found


def test_it_is_powershell() -> None:
    wrong = [one for one in walk(tree()) if one.type == "ERROR" or one.is_missing]
    assert not [f"line {one.start_point[0] + 1}" for one in wrong]


def test_the_parser_finds_mistakes() -> None:
    for mistake in (b"if ($x { }", b"function { }", b"'open", b"@{ a = }", b"foreach ($x on $y) { }"):
        assert parsed(mistake).has_error, mistake


def test_windows_powershell_can_read_it() -> None:
    assert script().isascii()  # 5.1 takes a file without a byte order mark for the code page of the computer
    leaves = {text(one) for one in walk(tree()) if not one.children}
    assert not leaves & ONLY_IN_7
    assert not [one for one in walk(tree()) if one.type == "ternary_expression"]


def test_it_calls_what_there_is() -> None:
    seen = set()
    for name, named in commands(tree()):
        if name in functions() or name == "$script:ZeroTier":
            continue
        assert name in cmdlets.PARAMETERS, name
        if not name.endswith(".exe"):
            assert named <= cmdlets.PARAMETERS[name] | cmdlets.COMMON, name
        seen.add(name)
    assert seen == set(cmdlets.PARAMETERS)


def test_rules_have_parameters_that_exist() -> None:
    keys = {text(one) for one in walk(functions()["Get-TunnelRules"]) if one.type == "key_expression"}
    assert {"InterfaceAlias", "Program", "RemoteAddress"} <= keys <= cmdlets.PARAMETERS["New-NetFirewallRule"]


@pytest.mark.parametrize("name", ["", *functions()])
def test_each_variable_has_a_value(name: str) -> None:
    node = functions()[name] if name else tree()
    used = {variable(one) for one in walk(node) if one.type == "variable" and (name or not inside(one))}
    known = AUTOMATIC | outside() | (assigned(node) if name else set())
    assert used <= known, used - known


def inside(node: Node) -> bool:
    above = node.parent
    while above is not None and above.type != "function_statement":
        above = above.parent
    return above is not None


@cache
def outside() -> frozenset[str]:
    """The variables that the script itself sets, and those that functions set for all (script:)."""
    found: set[str] = set()
    for one in walk(tree()):
        fits = one.type in ("left_assignment_expression", "script_parameter")
        for each in walk(one) if fits else ():
            if each.type == "variable" and (not inside(one) or text(each).startswith("$script:")):
                found.add(variable(each))
    return frozenset(found)


def test_what_is_changed_is_undone() -> None:
    joined, left = reached("Invoke-Join"), reached("Invoke-Leave")
    known = {*cmdlets.READS, *cmdlets.HARMLESS, *cmdlets.UNDOES, *functions(), "$script:ZeroTier"}
    assert joined - known == set(cmdlets.CHANGES)
    for change, (_, undo) in cmdlets.CHANGES.items():
        assert undo in left, f"{change} is not undone"
    written = notes("Invoke-Join", "Add-Note", "Set-Note")
    asked = notes("Invoke-Leave", "Get-Note", "Test-Note")
    assert {"joined", "settings", "others", "rules", "profiles", "killswitch", "mtu$family"} <= written
    assert written - asked == {"network", "before"}


def test_status_changes_nothing() -> None:
    assert not reached("Invoke-Status") & {*cmdlets.CHANGES, *cmdlets.UNDOES, *cmdlets.HARMLESS}


def test_it_has_the_options_of_the_other_scripts() -> None:
    text_of_all = script().decode()
    for option in ("-Wait", "-KillSwitch", "-KillSwitch -Lan", "-NoKillSwitch", "-Status", "-Leave", "-Help"):
        assert f"\n  {option} " in text_of_all
