(** The machine, over both maps, as OCaml. README.md says what of this is trusted. *)
From Coq Require Import Extraction ExtrOcamlBasic ExtrOcamlNativeString ExtrOcamlNatInt ExtrOcamlZInt.
From stdpp Require Import base numbers gmap.
From Contextvars Require Import Words Bindings SortedList Hamt State Machine.

(** Native integers of 63 bits in the place of [N], [Z] and [positive]. *)
Extract Inlined Constant N.eqb => "((=) : int -> int -> bool)".
Extract Inlined Constant N.ltb => "((<) : int -> int -> bool)".
Extract Inlined Constant N.leb => "((<=) : int -> int -> bool)".
Extract Inlined Constant N.eq_dec => "((=) : int -> int -> bool)".
Extract Inlined Constant N.land => "(land)".
Extract Inlined Constant N.lxor => "(lxor)".
Extract Inlined Constant N.shiftr => "(lsr)".
Extract Inlined Constant N.shiftl => "(lsl)".
Extract Inlined Constant N.div => "(/)".
Extract Inlined Constant N.modulo => "(mod)".
Extract Inlined Constant N.of_nat => "(fun (n : int) -> n)".
Extract Inlined Constant N.to_nat => "(fun (n : int) -> n)".
Extract Inlined Constant Nat.leb => "((<=) : int -> int -> bool)".
Extract Inlined Constant length => "List.length".
Extract Inlined Constant rev_append => "List.rev_append".

(** Ghosts carry nothing. *)
Extract Constant ghost => "unit".
Extract Inlined Constant ghost_zero => "()".
Extract Inlined Constant ghost_next => "(fun () -> ())".
Extract Inlined Constant ghost_jump => "(fun _ _ () -> ())".

Extraction "machine.ml"
  list_bindings hamt_bindings initial perform observe fold.
