"""The part of PID 1 that the process tests need, driven by JSON lines on standard input, answering with JSON lines.

It holds listening sockets without ever accepting, starts processes that inherit them as systemd would (fds from 3 on,
LISTEN_FDS, LISTEN_FDNAMES, LISTEN_PID), and receives what they send to NOTIFY_SOCKET. Everything ends with its input.
"""
import json, os, select, signal, socket, struct, subprocess, sys

directory = sys.argv[1]
notify_path = os.path.join(directory, 'notify')
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
receiver.bind(notify_path)
listeners, children, outputs = {}, {}, {}


def say(**event):
    sys.stdout.write(json.dumps(event) + '\n')
    sys.stdout.flush()


def listen(name, address, backlog=4096, datagram=False):
    if address.startswith('/'):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(address)
    else:
        host, port = address.rsplit(':', 1)
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if datagram else socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, int(port)))
    if not datagram:
        sock.listen(backlog)
    listeners[name] = sock
    bound = sock.getsockname()
    say(event='listening', name=name, address=bound if isinstance(bound, str) else '%s:%d' % bound[:2])


def spawn(id, argv, env, pass_listeners, names=None, notify=True, wrap=None):
    fds = [listeners[name].fileno() for name in pass_listeners]
    env = dict(env)
    if notify:
        env['NOTIFY_SOCKET'] = notify_path
    script = ''.join('exec %d<&%d;' % (3 + i, fd) for i, fd in enumerate(high(fds)))
    if fds:
        env['LISTEN_FDS'] = str(len(fds))
        env['LISTEN_FDNAMES'] = ':'.join(names or pass_listeners)
        script += 'export LISTEN_PID=$$;'
    script += wrap or 'exec "$@"'
    child = subprocess.Popen(['bash', '-c', script, 'bash'] + argv, env=env, pass_fds=high(fds),
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    children[child.pid] = (id, child)
    for name, stream in (('stdout', child.stdout), ('stderr', child.stderr)):
        outputs[stream.fileno()] = (id, name, stream)
    say(event='spawned', id=id, pid=child.pid)


copies = {}


def high(fds):
    """Copies above the fds that the child wants to use, so that one does not overwrite another."""
    import fcntl
    for fd in fds:
        if fd not in copies:
            copies[fd] = fcntl.fcntl(fd, fcntl.F_DUPFD, 100)
    return [copies[fd] for fd in fds]


commands = b''
ends = False
signal.set_wakeup_fd(-1)
while not ends:
    ready, _, _ = select.select([0, receiver, *outputs], [], [], 0.02)
    for fd in ready:
        if fd is receiver:
            data, ancillary, _, _ = receiver.recvmsg(65536, 4096)
            pid = next((struct.unpack('iII', c)[0] for level, kind, c in ancillary if kind == socket.SCM_CREDENTIALS), 0)
            for level, kind, fds in ancillary:
                # The barrier of sd_notify_barrier(3): its sender waits until the fd that came along is closed.
                if kind == socket.SCM_RIGHTS:
                    os.close(struct.unpack('i', fds[:4])[0])
            say(event='notify', pid=pid, data=data.decode())
        elif fd == 0:
            piece = os.read(0, 65536)
            ends = piece == b''
            commands += piece
            while b'\n' in commands:
                line, commands = commands.split(b'\n', 1)
                command = json.loads(line)
                {'listen': listen, 'spawn': spawn}[command.pop('op')](**command)
        else:
            id, name, stream = outputs[fd]
            text = os.read(fd, 65536)
            if text:
                say(event='output', id=id, stream=name, text=text.decode(errors='replace'))
            else:
                del outputs[fd]
                stream.close()
    for pid, (id, child) in list(children.items()):
        status = child.poll()
        if status is not None and not any(entry[0] == id for entry in outputs.values()):
            del children[pid]
            say(event='exit', id=id, status=status)
for _, child in children.values():
    child.kill()
