"""From exceptions to outcomes."""
import re
from json.encoder import encode_basestring_ascii as quote

from interpreter import CPYTHON


class Rule:
    """An error that the rules know: the exception's type, its message and the outcome.

    `%R` in the message is the repr of the payload and `%d` a number; `%s` in the outcome is the
    payload's handle, or the number. Without a message the payload is the exception's argument."""

    def __init__(self, exception, message, outcome):
        self.exception = exception
        self.message = message
        self.outcome = '{"error":{%s}}' % outcome
        # What other implementations may have kept of the message.
        self.words = max(re.split("%[Rd]", message), key=len).strip(" ,") if message else None

    def matches(self, error, payload, name):
        if type(error) is not self.exception:
            return False
        if self.message is None:
            return len(error.args) == 1 and error.args[0] is payload
        expected = self.message
        if "%R" in expected:
            expected = expected.replace("%R", repr(payload))
        return str(error) == expected.replace("%d", name)


def of_payload(exception, message, kind, field):
    return Rule(exception, message, '"kind":"%s","%s":"%%s"' % (kind, field))


def of_kind(exception, message, kind):
    return Rule(exception, message, '"kind":"%s"' % kind)


SWITCH = (
    of_payload(RuntimeError, "cannot enter context: %R is already entered", "already_entered", "context"),
    of_payload(RuntimeError, "cannot exit context: %R has not been entered", "not_entered", "context"),
    of_payload(
        RuntimeError, "cannot exit context: thread state references a different context object", "not_current", "context"
    ),
)
RESET = (
    of_payload(RuntimeError, "%R has already been used once", "token_used", "token"),
    of_payload(ValueError, "%R was created by a different ContextVar", "token_of_other_variable", "token"),
    of_payload(ValueError, "%R was created in a different Context", "token_of_other_context", "token"),
)
TOKEN_EXPECTED = (of_payload(TypeError, "expected an instance of Token, got %R", "token_expected", "object"),)
KEY_EXPECTED = (of_payload(TypeError, "a ContextVar key was expected, got %R", "key_expected", "object"),)
LOOKUP = (of_payload(LookupError, None, "lookup", "variable"),)
KEY = (of_payload(KeyError, None, "key", "variable"),)
CAPI_CONTEXT = (of_kind(TypeError, "an instance of Context was expected", "capi_context_expected"),)
CAPI_VARIABLE = (of_kind(TypeError, "an instance of ContextVar was expected", "capi_variable_expected"),)
CAPI_RESET = CAPI_VARIABLE + (of_kind(TypeError, "an instance of Token was expected", "capi_token_expected"),)
SURFACE = (
    of_kind(RuntimeError, "Tokens can only be created by ContextVars", "tokens_only_by_variables"),
    of_kind(TypeError, "Context() does not accept any arguments", "context_takes_no_arguments"),
    of_kind(TypeError, "run() missing 1 required positional argument", "callable_missing"),
    of_kind(TypeError, "context variable name must be a str", "name_not_str"),
)
NO_MORE_WATCHERS = (of_kind(RuntimeError, "no more context watcher IDs available", "no_more_watchers"),)
NO_WATCHER = (
    Rule(ValueError, "Invalid context watcher ID %d", '"kind":"invalid_watcher","id":%s'),
    Rule(ValueError, "No context watcher set for ID %d", '"kind":"watcher_not_set","id":%s'),
)
STOP_ITERATION = '{"error":{"kind":"stop_iteration"}}'


def recognise(error, rules, payload, name):
    """Which of the errors that an operation may raise this is, as an outcome, or None."""
    # An exception that replaces another must not remember it. What is written in Python remembers.
    if CPYTHON and error.__context__ is not None:
        return None
    for rule in rules:
        if rule.matches(error, payload, name):
            return rule.outcome.replace("%s", name)
    if CPYTHON:
        return None
    # Other implementations choose their own words; where these are not enough, the type must be.
    candidates = [rule for rule in rules if rule.message and rule.exception is type(error)]
    known = [rule for rule in candidates if rule.words in str(error)]
    if not known and len(candidates) == 1 and rules is not SURFACE:
        known = candidates
    return known[0].outcome.replace("%s", name) if known else None


def classify(error, rules, payload, name):
    """The outcome for an exception, whether the rules know it or not."""
    return recognise(error, rules, payload, name) or other(error)


def other(error):
    # Addresses differ from run to run; a signature must not.
    message = re.sub("0x[0-9a-fA-F]+", "0x0", str(error))
    return '{"error":{"kind":"other","exception":%s,"message":%s}}' % (quote(type(error).__name__), quote(message))


def of_type(error):
    """The outcome for an exception of which only the type is fixed."""
    if type(error) in (TypeError, ValueError, RuntimeError, AttributeError):
        return '{"error":{"kind":"unspecified","exception":"%s"}}' % type(error).__name__
    return other(error)
