"""Every dashboard, in the order of the menu."""

from .comparison import COMPARISON
from .connections import CONNECTIONS
from .kernel import KERNEL
from .middleware import MIDDLEWARE
from .overview import OVERVIEW
from .pushes import PUSHES_AND_COMMANDS
from .workers import WORKERS

BOARDS = (OVERVIEW, CONNECTIONS, MIDDLEWARE, PUSHES_AND_COMMANDS, WORKERS, KERNEL, COMPARISON)
