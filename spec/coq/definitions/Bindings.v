(** The finite map that a context holds, as an interface: the machine knows no more of it. *)
From stdpp Require Import base numbers.
From Contextvars Require Import Words.

Class Bindings (M : Type) := {
  empty_map : M;
  find : key -> M -> option value;
  assoc : key -> value -> M -> M;
  without : key -> M -> M;
  count : M -> N;
  (** The bindings in the order of iteration (ORDER-1, ORDER-2). *)
  items : M -> list (key * value);
}.
