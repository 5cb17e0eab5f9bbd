"""What can be sent to a worker process, as bytes: everything that it finds by a name of its own."""

from __future__ import annotations

import io
import pickle
import types
from typing import Any

from scratchnet.lab.parts import told
from scratchnet.lab.script import script
from scratchnet.lab.work import CannotSend


def pack(work: Any) -> bytes:
    """`work` as bytes for a worker process. Raises CannotSend where there is something in it that it cannot find."""
    file = io.BytesIO()
    try:
        _Packer(file, protocol=5).dump(work)
    except CannotSend:
        raise
    except Exception as error:  # pickle raises PicklingError, AttributeError, TypeError, …
        raise CannotSend(told(error)) from error
    return file.getvalue()


class _Packer(pickle.Pickler):
    """Pickle sends a function by its name. That of `__main__` is no use to a worker that has another `__main__`."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, (type, types.FunctionType)):
            if "<" in obj.__qualname__:
                raise CannotSend(f"{obj.__qualname__.rpartition('.')[2]} is a lambda or a local function")
            if obj.__module__ == "__main__":
                name, known = obj.__qualname__, script()
                if not known.guarded or name not in known.late:
                    raise CannotSend(f"{name} is defined in __main__")
                if late := known.late[name]:
                    raise CannotSend(f"{name} reads {late}, which no worker sets that imports the script")
        return NotImplemented
