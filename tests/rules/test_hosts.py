"""Where a secret may be sent: exactly the origins that were declared."""

from __future__ import annotations

import pytest

from lite.rules.hosts import may_go, origin_of_host


@pytest.mark.parametrize(
    ("host", "url", "good"),
    [
        ("api.example.com", "https://api.example.com/v1?x=1", True),
        ("API.example.com", "https://api.EXAMPLE.com:443/", True),
        ("api.example.com", "https://api.example.com./", True),
        ("api.example.com", "http://api.example.com/", False),
        ("api.example.com", "https://api.example.com:8443/", False),
        ("api.example.com:8443", "https://api.example.com:8443/", True),
        ("api.example.com", "https://evil.example.com/", False),
        ("example.com", "https://api.example.com/", False),
        ("example.com", "https://example.com.evil.net/", False),
        ("example.com", "https://evil.net/?example.com", False),
        ("example.com", "https://evil.net#@example.com/", False),
        ("example.com", "https://evil.net\\@example.com/", False),
        ("example.com", "https://[::1", False),
        ("http://localhost:8080", "http://localhost:8080/x", True),
        ("http://localhost:8080", "https://localhost:8080/x", False),
        ("bücher.example", "https://xn--bcher-kva.example/", True),
    ],
)
def test_origins_are_compared_whole(host: str, url: str, good: bool) -> None:
    assert may_go(url, [host]) is good
    assert not may_go(url, [])


@pytest.mark.parametrize("text", ["", "a/b", "*.example.com", "ftp://x", "a:b", "user@host", "https://a?b", "a b"])
def test_what_is_no_host(text: str) -> None:
    with pytest.raises(ValueError, match="is not HOST"):
        origin_of_host(text)
