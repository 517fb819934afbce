"""The strategy language: from the text of a YAML file to a `Strategy`, every error at once.

forms, grammar   which keys there are and what may stand behind them; the schema is made of the same tables
overrides        what `--set`, `--trials`, `--epochs` and `--time` change before a file is read
tables           which tables the type names come from; `components` checks their arguments, `values` makes them
budgets          amounts with units
settings         the frozen records that a strategy becomes; `strategy` reads a file to them
"""
