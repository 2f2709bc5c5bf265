"""Import contracts that fail closed: they list who may, so a new room is outside until it is let in.

import-linter's own `protected` refuses names that do not exist yet, such as a room to come or a package that
this machine lacks; these do not.
"""

import sys

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class OnlyPackages(Contract):
    """Modules may import the standard library, their own package, and the top-level packages that are listed.

    Options: `modules` and what is below them; `but`, rooms among them that are free; `packages`.
    """

    type_name = "only_packages"
    modules = fields.ListField(subfield=fields.StringField())
    but = fields.ListField(subfield=fields.StringField(), required=False, default=[])
    packages = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Find every import of something that is not listed."""
        told = [
            (importer, imported)
            for importer in sorted(graph.modules)
            if _within(importer, self.modules) and not _within(importer, self.but)
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if not self._may(importer.partition(".")[0], imported.partition(".")[0])
        ]
        return _result(told)

    def _may(self, own: str, package: str) -> bool:
        return package == own or package in sys.stdlib_module_names or package in self.packages

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print the imports."""
        _render(check)


class OnlyImporters(Contract):
    """The listed modules are imported by the listed rooms, by each other, and by nobody else.

    Options: `guarded` and what is below them; `importers`, which need not exist yet.
    """

    type_name = "only_importers"
    guarded = fields.ListField(subfield=fields.StringField())
    importers = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Find every import by somebody who is not listed."""
        told = [
            (importer, imported)
            for imported in sorted(graph.modules)
            if _within(imported, self.guarded)
            for importer in sorted(graph.find_modules_that_directly_import(imported))
            if not _within(importer, self.importers) and not _within(importer, self.guarded)
        ]
        return _result(told)

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print the imports."""
        _render(check)


def _within(module: str, rooms: list[str]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def _result(told: list[tuple[str, str]]) -> ContractCheck:
    return ContractCheck(kept=not told, metadata={"imports": told})


def _render(check: ContractCheck) -> None:
    for importer, imported in check.metadata["imports"]:
        output.print_error(f"{importer} imports {imported}", bold=False)
