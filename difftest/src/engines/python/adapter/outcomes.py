"""Outcomes: JSON from the start, so that nothing has to be encoded step by step."""
from json.encoder import encode_basestring_ascii as quote

NONE, SKIPPED, UNSUPPORTED = '"none"', '"skipped"', '"unsupported"'
CALLED, NOT_FOUND = '"called"', '"not_found"'
TRUE, FALSE = '{"bool":true}', '{"bool":false}'
RAISED = '{"error":{"kind":"raised"}}'


class Unbound(Exception):
    """A handle leads to nothing any more: the step is skipped."""


def text(content):
    return '{"text":%s}' % quote(content)
