"""The space language: from the text of a YAML file to the tree of a space (`nasengine.space.holes`).

yaml*       text -> marked values; YAML 1.2 scalars, bounds on size, depth and aliases
extends     one file patches another
grammar*    marked values -> tree, all errors at once; one file a part of the language
expansion   how much a tree would expand to, bounded
parsing     the three in order
calls       the arguments of a `type:` mapping against a Python signature; strategies use it too
schema      the same language as a JSON Schema, for editors
"""
