"""Which names of a Python statement are global: the scope rules that decide what source a class needs beside it.

Python resolves a name in the innermost scope that binds it, class bodies being seen by their own statements
only. What no enclosing scope binds is looked up in the module: those are the references found here, each with
whether the module needs it when the statement runs (a base class, a default) or only later (in a method).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass(frozen=True, slots=True)
class Reference:
    """A global name as it stands in the source; `immediate`: needed when the statement itself runs."""

    node: ast.Name
    immediate: bool


def global_references(statement: ast.stmt) -> list[Reference]:
    """Every global name that a top-level statement reads or binds, in the order of the source."""
    finder = _Finder()
    finder.visit(statement)
    return finder.found


def bound_names(statement: ast.stmt) -> set[str]:
    """The names that a statement binds in the scope it stands in."""
    return set(_bindings([statement]))


@dataclass(slots=True)
class _Scope:
    names: set[str]
    is_class: bool


class _Finder(ast.NodeVisitor):
    def __init__(self) -> None:
        self.found: list[Reference] = []
        self._scopes: list[_Scope] = []
        self._deferred = 0

    def visit_Name(self, node: ast.Name) -> None:
        innermost = self._scopes[-1:]
        seen = [scope for scope in self._scopes[:-1] if not scope.is_class] + innermost
        if not any(node.id in scope.names for scope in seen):
            self.found.append(Reference(node, immediate=not self._deferred))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._visit_function(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._visit_function(node)

    def _visit_function(self, node: Function) -> None:
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        arguments += [extra for extra in (node.args.vararg, node.args.kwarg) if extra]
        for default in [*node.args.defaults, *(default for default in node.args.kw_defaults if default)]:
            self.visit(default)
        if not isinstance(node, ast.Lambda):
            for decorator in node.decorator_list:
                self.visit(decorator)
        self._deferred += 1
        for annotation in [argument.annotation for argument in arguments]:
            if annotation:
                self.visit(annotation)
        body: list[ast.stmt] | list[ast.expr]
        if isinstance(node, ast.Lambda):
            body = [node.body]
        else:
            body = node.body
            if node.returns:
                self.visit(node.returns)
        names = {argument.arg for argument in arguments} | set(_bindings(body))
        self._scopes.append(_Scope(names - _declared_global(body), is_class=False))
        for part in body:
            self.visit(part)
        self._scopes.pop()
        self._deferred -= 1

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for part in [*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)]:
            self.visit(part)
        self._scopes.append(_Scope(set(_bindings(node.body)) - _declared_global(node.body), is_class=True))
        for statement in node.body:
            self.visit(statement)
        self._scopes.pop()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.target)
        if node.value:
            self.visit(node.value)
        self._deferred += 1
        self.visit(node.annotation)
        self._deferred -= 1

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._visit_comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self._visit_comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._visit_comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._visit_comprehension(node)

    def _visit_comprehension(self, node: Comprehension) -> None:
        self.visit(node.generators[0].iter)
        targets = {name.id for part in node.generators for name in ast.walk(part.target) if isinstance(name, ast.Name)}
        self._scopes.append(_Scope(targets, is_class=False))
        for number, part in enumerate(node.generators):
            if number:
                self.visit(part.iter)
            for condition in part.ifs:
                self.visit(condition)
        for expression in [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]:
            self.visit(expression)
        self._scopes.pop()


def _bindings(body: list[ast.stmt] | list[ast.expr]) -> Iterator[str]:
    """Names bound by these statements in their own scope: nested functions and classes count by their name only."""
    pending: list[ast.AST] = list(body)
    while pending:
        node = pending.pop()
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
                continue
            case ast.Lambda():
                continue
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                # Its own targets stay inside; a walrus in it binds out here.
                yield from (part.target.id for part in ast.walk(node) if isinstance(part, ast.NamedExpr))
                continue
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                yield name
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                yield from (alias.asname or alias.name.split(".")[0] for alias in aliases)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name
            case ast.MatchMapping(rest=str(name)):
                yield name
            case _:
                pass
        pending.extend(ast.iter_child_nodes(node))


def _declared_global(body: list[ast.stmt] | list[ast.expr]) -> set[str]:
    return {name for part in body for node in ast.walk(part) if isinstance(node, ast.Global) for name in node.names}
