"""The object tree of our `org.bluez`: paths, interfaces and properties, and the signals of their changes.

What the objects are and what they do is `bluez`'s.
"""

from typing import Any

from dbus_fast import Message, Variant
from dbus_fast.aio import MessageBus

PROPERTIES, OBJECT_MANAGER = "org.freedesktop.DBus.Properties", "org.freedesktop.DBus.ObjectManager"

Answer = tuple[str, list[Any]]
"""A reply's signature and body."""


class BlueZError(Exception):
    """An error reply: the last word of its name (or all of it), and its text."""

    def __init__(self, word: str, text: str = "") -> None:
        super().__init__(word)
        self.name = word if "." in word else f"org.bluez.Error.{word}"
        self.text = text


class Objects:
    """Every object by its path; who changes one through here is heard on the bus."""

    def __init__(self, bus: MessageBus, tree: dict[str, dict[str, dict[str, Variant]]]) -> None:
        self._bus = bus
        self._tree = tree

    def __contains__(self, path: str) -> bool:
        return path in self._tree

    def get(self, path: str, interface: str, name: str) -> Any:
        """A property's value."""
        return self._tree[path][interface][name].value

    def below(self, path: str) -> list[str]:
        """The paths under `path`, deepest first."""
        return sorted((one for one in self._tree if one.startswith(f"{path}/")), reverse=True)

    def add(self, path: str, interface: str, properties: dict[str, Variant]) -> None:
        """A new object."""
        self._tree[path] = {interface: properties}
        self._signal("/", OBJECT_MANAGER, "InterfacesAdded", "oa{sa{sv}}", [path, self._tree[path]])

    def drop(self, path: str) -> None:
        """It is gone."""
        interfaces = list(self._tree.pop(path))
        self._signal("/", OBJECT_MANAGER, "InterfacesRemoved", "oas", [path, interfaces])

    def change(self, path: str, interface: str, **changed: Variant) -> None:
        """New values of some properties."""
        self._tree[path][interface].update(changed)
        self._signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [interface, changed, []])

    async def managed(self, _: Message) -> Answer:
        """GetManagedObjects."""
        return "a{oa{sa{sv}}}", [self._tree]

    async def get_property(self, message: Message) -> Answer:
        """Properties.Get."""
        interface, name = message.body
        value = self._tree[str(message.path)].get(interface, {}).get(name)
        if value is None:
            raise BlueZError("org.freedesktop.DBus.Error.InvalidArgs", "no such property")
        return "v", [value]

    async def set_property(self, message: Message) -> Answer:
        """Properties.Set."""
        interface, name, value = message.body
        self.change(str(message.path), interface, **{name: value})
        return "", []

    def _signal(self, path: str, interface: str, member: str, signature: str, body: list[Any]) -> None:
        self._bus.send(Message.new_signal(path, interface, member, signature, body))
