"""Where a run's curves and pictures go while it is under way: TensorBoard's files, and whatever service is asked for.

`base` says what a sink is; each other module is one of them, and imports its library when it is opened.
"""
