"""The semantic cache's judgement: what may match, how likely two prompts share an answer, and when to serve.

Pure and index-agnostic: nothing here stores, searches, or speaks HTTP. It needs numpy, which the ``[semantic]``
extra brings; the core never imports this room without it. docs/semantic-cache.md tells the whole.
"""
