"""The text that the service prints when it is ready."""

from pathlib import Path
from typing import TYPE_CHECKING

from nets.precision import cpu_bfloat16
from service import __version__

if TYPE_CHECKING:
    from service.engine.engine import Engine
    from service.models.registry import Registry

_PHOTOGRAPH = Path("docs/images/photographs/coffee.jpg")
_INSTALLED_PHOTOGRAPH = Path(__file__).parent.parent / "http" / "web" / "coffee.jpg"


def greeting(host: str, port: int, registry: "Registry", engine: "Engine", seconds: float) -> str:
    """Return the address, the models, the device, and a curl command for each endpoint that has a model."""
    address = f"http://{_shown(host)}:{port}"
    factors, styles = registry.factors(), registry.names("stylize")
    lines = [
        f"Impasto {__version__} listens on {address} (ready after {seconds:.1f} s)",
        f"  page     {address}/",
        f"  API      {address}/docs",
        f"  styles   {', '.join(styles) or 'none'}",
        f"  factors  {', '.join(factors) or 'none'}",
        f"  device   {_device(engine)}",
    ]
    photograph = _PHOTOGRAPH if _PHOTOGRAPH.exists() else _INSTALLED_PHOTOGRAPH
    queries = [f"stylize?style={style}' -o out.jpg" for style in styles[:1]]
    middle = factors[len(factors) // 2 :][:1]  # the largest factor would make a very large image
    queries += [f"upscale?factor={factor}' -o large.jpg" for factor in middle]
    tries = [f"curl --fail-with-body -F image=@{photograph} '{address}/{query}" for query in queries]
    return "\n".join([*lines, *(f"  try      {line}" for line in tries)])


def _shown(host: str) -> str:
    if host in {"0.0.0.0", "127.0.0.1", "::", "::1"}:  # noqa: S104
        return "localhost"
    return f"[{host}]" if ":" in host else host


def _device(engine: "Engine") -> str:
    devices = ", ".join(map(str, engine.devices))
    if engine.devices[0].type != "cpu":
        return f"{devices} in {engine.precision}"
    known = cpu_bfloat16()
    why = f"this CPU has {known}" if known else "this CPU has no bfloat16 instructions"
    return f"{devices} in {engine.precision} ({why})"
