"""What a script or a notebook imports: models that predict, and the stages as functions.

`import taolite` has all of it as `taolite.load`, `taolite.train` and so on; each name is loaded when it is first used.
"""
