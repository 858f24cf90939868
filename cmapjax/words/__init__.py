"""Words for markets, strategies and what else a user names, on the command line and in studies alike.

They follow from the classes (`_classes`), by one grammar (`_grammar`), and go both ways (`_objects`,
`_texts`); classes of the user's own come from files (`_sources`). No JAX before a name is looked up.
"""
