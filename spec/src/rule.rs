//! The numbered rules of `SPEC.md`, as identifiers that outcomes can cite.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use crate::handle::as_string;

/// A text names no rule of `SPEC.md`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not a rule; `difftest rules` lists them")]
pub struct UnknownRule(String);

macro_rules! rules {
    ($($variant:ident = $id:literal: $title:literal,)*) => {
        /// A rule of `SPEC.md`. The identifier is stable: a rule that falls away leaves a gap.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Rule {
            $(#[doc = concat!($id, ": ", $title, ".")] $variant,)*
        }

        impl Rule {
            /// Every rule, in the order of `SPEC.md`.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The identifier, such as `RESET-2`.
            #[must_use]
            pub fn id(self) -> &'static str {
                match self { $(Self::$variant => $id,)* }
            }

            /// The rule in a few words, as in its heading in `SPEC.md`.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

rules! {
    Var1 = "VAR-1": "construction stores name and default",
    Var2 = "VAR-2": "arguments are parsed before the name is checked",
    Var3 = "VAR-3": "the name must be a str",
    Var4 = "VAR-4": "the name is hashed exactly once",
    Var5 = "VAR-5": "the hash is fixed at construction",
    Var6 = "VAR-6": "`name` gives the name back",
    Var7 = "VAR-7": "`name` is read-only",
    Var8 = "VAR-8": "repr without a default",
    Var9 = "VAR-9": "repr with a default",
    Var10 = "VAR-10": "identity is equality",
    Var11 = "VAR-11": "variables have no order",
    Var12 = "VAR-12": "what variables forbid",
    Var13 = "VAR-13": "`ContextVar[int]` is an alias",
    Var14 = "VAR-14": "hashing the name may run user code",
    Get1 = "GET-1": "the value in the current context comes first",
    Get2 = "GET-2": "then the default that was given",
    Get3 = "GET-3": "then the variable's own default",
    Get4 = "GET-4": "else `LookupError(var)`",
    Get5 = "GET-5": "get makes no base context",
    Set1 = "SET-1": "set binds in the current context and answers a token",
    Set2 = "SET-2": "set makes the base context",
    Set3 = "SET-3": "a token of an unbound variable has no old value",
    Set4 = "SET-4": "a token of a bound variable has its old value",
    Set5 = "SET-5": "`Token.MISSING` is a value like any other",
    Reset1 = "RESET-1": "what is not a token is refused first",
    Reset2 = "RESET-2": "then a token that has been used",
    Reset3 = "RESET-3": "then a token of another variable",
    Reset4 = "RESET-4": "then a token of another context",
    Reset5 = "RESET-5": "the base context is made before the token's context is checked",
    Reset6 = "RESET-6": "without an old value, reset unbinds",
    Reset7 = "RESET-7": "with an old value, reset binds it again",
    Reset8 = "RESET-8": "a refused reset leaves the token unused",
    Reset9 = "RESET-9": "an old value that is `Token.MISSING` is bound again",
    Token1 = "TOKEN-1": "`var` is the variable",
    Token2 = "TOKEN-2": "`old_value` is the value before set",
    Token3 = "TOKEN-3": "`old_value` is `Token.MISSING` where there was none",
    Token4 = "TOKEN-4": "a used token keeps its attributes",
    Token5 = "TOKEN-5": "attributes are read-only",
    Token6 = "TOKEN-6": "repr",
    Token7 = "TOKEN-7": "repr of a used token",
    Token8 = "TOKEN-8": "tokens are unhashable",
    Token9 = "TOKEN-9": "identity is equality",
    Token10 = "TOKEN-10": "only variables make tokens",
    Token11 = "TOKEN-11": "what tokens forbid",
    Token12 = "TOKEN-12": "`Token[int]` is an alias",
    Token13 = "TOKEN-13": "a token keeps its context alive",
    Token14 = "TOKEN-14": "`__enter__` answers the token, unchecked",
    Token15 = "TOKEN-15": "`__exit__` resets",
    Token16 = "TOKEN-16": "`__exit__` takes three arguments",
    Missing1 = "MISSING-1": "repr",
    Missing2 = "MISSING-2": "true and hashable",
    Missing3 = "MISSING-3": "the only one of its type",
    Context1 = "CONTEXT-1": "a new context is empty",
    Context2 = "CONTEXT-2": "construction takes no arguments",
    Context3 = "CONTEXT-3": "repr",
    Context4 = "CONTEXT-4": "contexts are unhashable",
    Context5 = "CONTEXT-5": "contexts can be weakly referenced",
    Context6 = "CONTEXT-6": "what contexts forbid",
    Context7 = "CONTEXT-7": "contexts have no order",
    Context8 = "CONTEXT-8": "a context is a `Mapping`",
    Run1 = "RUN-1": "run enters, calls, exits",
    Run2 = "RUN-2": "a missing callable is refused first",
    Run3 = "RUN-3": "then a context that is entered",
    Run4 = "RUN-4": "an exception leaves after the exit",
    Run5 = "RUN-5": "every keyword argument goes to the callable",
    Run6 = "RUN-6": "calling what cannot be called happens inside",
    Run7 = "RUN-7": "a context that was exited inside replaces the result",
    Run8 = "RUN-8": "a context left on top replaces the result",
    Copy1 = "COPY-1": "a copy has the bindings and is not entered",
    Copy2 = "COPY-2": "`copy_context` copies the current context",
    Copy3 = "COPY-3": "`copy_context` makes the base context",
    Map1 = "MAP-1": "`c[k]` answers the bound value",
    Map2 = "MAP-2": "`c[k]` of an unbound variable raises `KeyError(k)`",
    Map3 = "MAP-3": "`k in c`",
    Map4 = "MAP-4": "`c.get(k)` answers the bound value",
    Map5 = "MAP-5": "`c.get(k, d)` of an unbound variable answers d",
    Map6 = "MAP-6": "keys must be variables",
    Map7 = "MAP-7": "the mapping ignores the variable's default",
    Map8 = "MAP-8": "`len(c)` counts bindings",
    Iter1 = "ITER-1": "iteration and `keys()` give variables",
    Iter2 = "ITER-2": "`values()` gives values",
    Iter3 = "ITER-3": "`items()` gives pairs",
    Iter4 = "ITER-4": "the views are one-shot iterators",
    Iter5 = "ITER-5": "an iterator sees the bindings of its creation",
    Iter6 = "ITER-6": "`len(it)` is the size of the map",
    Order1 = "ORDER-1": "order follows the folded hash in chunks of five bits",
    Order2 = "ORDER-2": "equal folded hashes iterate in order of insertion",
    Order3 = "ORDER-3": "the fold maps -1 to -2",
    Eq1 = "EQ-1": "the same map is equal without a comparison",
    Eq2 = "EQ-2": "maps of different sizes are unequal",
    Eq3 = "EQ-3": "a variable bound on one side only makes unequal",
    Eq4 = "EQ-4": "identical values are equal",
    Eq5 = "EQ-5": "other values are compared by `==`",
    Eq6 = "EQ-6": "the left side's order decides, and the first answer stops",
    Eq7 = "EQ-7": "`!=` negates",
    Eq8 = "EQ-8": "other types are unequal",
    Eq9 = "EQ-9": "the maps are compared as they were at the beginning",
    Enter1 = "ENTER-1": "enter pushes",
    Enter2 = "ENTER-2": "the argument must be a context",
    Enter3 = "ENTER-3": "an entered context is refused",
    Exit1 = "EXIT-1": "exit pops",
    Exit2 = "EXIT-2": "the argument must be a context",
    Exit3 = "EXIT-3": "a context that is not entered is refused",
    Exit4 = "EXIT-4": "then one that is not current",
    Capi1 = "CAPI-1": "`PyContext_New` makes an empty context",
    Capi2 = "CAPI-2": "`PyContext_Copy` checks its argument",
    Capi3 = "CAPI-3": "`PyContext_CopyCurrent` is `copy_context`",
    Capi4 = "CAPI-4": "`PyContextVar_New` makes a variable",
    Capi5 = "CAPI-5": "`PyContextVar_Get` finds nothing without an error",
    Capi6 = "CAPI-6": "`PyContextVar_Get` checks the variable",
    Capi7 = "CAPI-7": "`PyContextVar_Set` checks the variable",
    Capi8 = "CAPI-8": "`PyContextVar_Reset` checks the variable, then the token",
    Watch1 = "WATCH-1": "an enter or exit tells every watcher the current context",
    Watch2 = "WATCH-2": "an identifier is the lowest free of eight",
    Watch3 = "WATCH-3": "a ninth watcher is refused",
    Watch4 = "WATCH-4": "clearing frees an identifier",
    Watch5 = "WATCH-5": "clearing an identifier out of range is refused",
    Watch6 = "WATCH-6": "clearing a free identifier is refused",
    Watch7 = "WATCH-7": "a failing watcher does not undo the switch",
    Thread1 = "THREAD-1": "a thread starts without a context",
    Thread2 = "THREAD-2": "a token works only where its context is current",
    Thread3 = "THREAD-3": "a token works in another thread that entered its context",
    Thread4 = "THREAD-4": "a context entered in one thread is refused in others",
    Thread5 = "THREAD-5": "a context that its thread left entered stays entered",
    Ver1 = "VER-1": "`context_ver` counts enters and exits",
    Ver2 = "VER-2": "nothing else changes `context_ver`",
    Ver3 = "VER-3": "`context_ver` wraps modulo 2^64",
    Cache1 = "CACHE-1": "a successful find fills the cache",
    Cache2 = "CACHE-2": "a binding fills the cache",
    Cache3 = "CACHE-3": "unbinding empties the cache",
    Cache4 = "CACHE-4": "a default is not cached",
    Cache5 = "CACHE-5": "a stamp of another thread or version is a miss",
    Cache6 = "CACHE-6": "the cache is filled before what was overwritten goes",
    Call1 = "CALL-1": "user code runs inside the operation, on its thread",
    Call2 = "CALL-2": "a value that is compared is asked by its `__eq__`",
    Final1 = "FINAL-1": "a value goes with the last reference to it",
    Final2 = "FINAL-2": "what a reset overwrites goes when the old value is bound",
    Final3 = "FINAL-3": "what a reset unbinds goes when the variable is unbound",
    Final4 = "FINAL-4": "what only a context holds goes with the context",
    Final5 = "FINAL-5": "operands live until the operation ends",
    Law1 = "LAW-1": "get answers what the current context binds",
    Law2 = "LAW-2": "a mapping's ways of asking for one variable agree",
    Law3 = "LAW-3": "as many bindings are iterated as `len` counts, each once",
    Law4 = "LAW-4": "iteration gives what the mapping answers, in one order",
    Law5 = "LAW-5": "a copy reads as its source",
    Law6 = "LAW-6": "what is written is read, and nothing else has changed",
    Law7 = "LAW-7": "a token tells what was before its set",
    Law8 = "LAW-8": "a token is used for everybody or for nobody",
    Law9 = "LAW-9": "`==` agrees with what is read, and `!=` with `==`",
    Law10 = "LAW-10": "what never changes answers the same",
    Law11 = "LAW-11": "what has gone is not seen again",
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for Rule {
    type Err = UnknownRule;

    fn from_str(text: &str) -> Result<Self, UnknownRule> {
        Self::ALL.iter().copied().find(|rule| rule.id() == text).ok_or_else(|| UnknownRule(text.to_owned()))
    }
}

as_string!(Rule, "^[A-Z]+-[1-9][0-9]*$", "The identifier of a rule of SPEC.md, such as `RESET-2`.");

/// A set of rules: what a trace exercises, or a run covered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleSet {
    words: [u64; 3],
}

// INVARIANT: every rule has a bit.
const _: () = assert!(Rule::ALL.len() <= 64 * 3);

impl RuleSet {
    /// Adds a rule. Constant time.
    pub fn insert(&mut self, rule: Rule) {
        self.words[rule as usize / 64] |= 1 << (rule as usize % 64);
    }

    /// Whether the rule is in the set. Constant time.
    #[must_use]
    pub fn contains(&self, rule: Rule) -> bool {
        self.words[rule as usize / 64] >> (rule as usize % 64) & 1 == 1
    }

    /// Adds every rule of another set. Constant time.
    pub fn extend(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(other.words) {
            *word |= other;
        }
    }

    /// The rules, in the order of `SPEC.md`.
    pub fn iter(&self) -> impl Iterator<Item = Rule> + '_ {
        Rule::ALL.iter().copied().filter(|&rule| self.contains(rule))
    }

    /// How many rules are in the set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words == [0; 3]
    }
}
