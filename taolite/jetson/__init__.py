"""jetson-inference's Python modules over taolite (reference/jetson_workflows.md 12).

The folder `taolite/jetson_modules` holds packages of their names (`jetson.inference`, `jetson_utils`, ...) that import
from here. Only `taolite jetson python` and the native shell put that folder on Python's path, so NVIDIA's own modules
are never hidden elsewhere.
"""
