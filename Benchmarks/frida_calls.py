"""Frida's Interceptor with callbacks in C at both ends of `work`, as `calls with` wants it: -p PID, until SIGTERM."""
import signal
import sys
import threading

import frida

SCRIPT = """
const callbacks = new CModule(`
#include <gum/guminterceptor.h>
void entered(GumInvocationContext *ic) {}
void left(GumInvocationContext *ic) {}
`);
Interceptor.attach(DebugSymbol.getFunctionByName('work'), { onEnter: callbacks.entered, onLeave: callbacks.left });
Interceptor.flush();
"""

end = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: end.set())
session = frida.attach(int(sys.argv[sys.argv.index("-p") + 1]))
script = session.create_script(SCRIPT)
script.load()
while not end.wait(0.1):
    pass
script.unload()
session.detach()
