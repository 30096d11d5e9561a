"""The former package of jetson.inference and jetson.utils. Other packages below `jetson`, elsewhere on the path, stay
importable."""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
