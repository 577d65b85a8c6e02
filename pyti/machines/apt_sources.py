"""The host's own apt sources and proxies, narrowed to one release: an image comes from where the host's packages do."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

__all__ = ["proxy_options", "sources_for", "sources_of_host"]


def sources_of_host(suite: str, apt: Path = Path("/etc/apt")) -> str:
    """All of the host's sources for ``suite``; empty where it has none (then mmdebstrap's defaults apply)."""
    files = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]
    texts = ((file.suffix, file.read_text(errors="replace")) for file in files if file.is_file())
    return sources_for(suite, texts)


def sources_for(suite: str, texts: Iterable[tuple[str, str]]) -> str:
    """Pick the main archive's entries for ``suite`` out of files given as ``(suffix, text)``, as one-line entries.

    Suites count as belonging when they are ``suite`` itself, its updates or its security updates; entries of other
    vendors and disabled ones are left out.
    """
    wanted = {suite, f"{suite}-updates", f"{suite}-security", f"{suite}/updates"}
    lines: list[str] = []
    for suffix, text in texts:
        if suffix == ".sources":
            for paragraph in _paragraphs(text):
                lines += _from_paragraph(paragraph, wanted)
        elif suffix == ".list":
            for raw in text.splitlines():
                line = raw.partition("#")[0].strip()
                words = line.partition("]")[2].split() if "[" in line else line.split()[1:]
                if line.startswith("deb ") and len(words) > 1 and words[1] in wanted:
                    lines.append(line)
    return "".join(f"{line}\n" for line in dict.fromkeys(lines))


def proxy_options(dump: str) -> list[str]:
    """The lines of ``apt-config dump`` that say how to reach the archive (proxies and certificate authorities)."""
    names = ("::proxy", "::cainfo", "::capath", "::proxy-auto-detect")
    return [
        line.strip()
        for line in dump.splitlines()
        if line.lower().startswith("acquire::http") and line.split(" ", 1)[0].lower().rstrip(";").endswith(names)
    ]


def _paragraphs(text: str) -> Iterable[dict[str, str]]:
    fields: dict[str, str] = {}
    name = ""
    for line in [*text.splitlines(), ""]:
        if not line.strip():
            if fields:
                yield fields
            fields, name = {}, ""
        elif line.startswith("#"):
            continue
        elif line[0].isspace():
            fields[name] = f"{fields.get(name, '')} {line.strip()}"
        else:
            key, _, value = line.partition(":")
            name = key.strip().lower()
            fields[name] = value.strip()


def _from_paragraph(fields: dict[str, str], wanted: set[str]) -> list[str]:
    if fields.get("enabled", "yes").lower() == "no" or "deb" not in fields.get("types", "").split():
        return []
    key = fields.get("signed-by", "")
    option = f"[signed-by={key}] " if key.startswith("/") else ""
    return [
        f"deb {option}{uri} {suite} {fields.get('components', '')}".rstrip()
        for uri in fields.get("uris", "").split()
        for suite in fields.get("suites", "").split()
        if suite in wanted
    ]
