(** The plain finite map: a list of bindings in the order of iteration.

    It is generic in the values, since the trie is held to it at every level. *)
From stdpp Require Import base numbers list.
From Contextvars Require Import Words Bindings.
Local Open Scope N_scope.

(** Bits 5l to 5l+4 of a hash, where [n] = 8 - l levels are left: level 0 has eight of them. *)
Definition shift (n : nat) : N := 5 * (8 - N.of_nat n).
Definition chunk (n : nat) (hash : N) : N := N.land (N.shiftr hash (shift n)) 31.

(** A number that sorts as the trie iterates, the lowest five bits first (ORDER-1). *)
Fixpoint place (n : nat) (hash : N) : N :=
  match n with O => 0 | S below => chunk n hash * 32 ^ N.of_nat below + place below hash end.

Section lists.
  Context {V : Type}.
  Implicit Types l : list (key * V).

  Fixpoint list_find (k : key) l : option V :=
    match l with
    | [] => None
    | (other, v) :: rest => if key_eqb k other then Some v else list_find k rest
    end.

  (** A new binding goes behind all of an equal or smaller place (ORDER-2). *)
  Fixpoint list_insert (n : nat) (k : key) (v : V) l : list (key * V) :=
    match l with
    | [] => [(k, v)]
    | (other, w) :: rest =>
        if place n (key_hash k) <? place n (key_hash other)
        then (k, v) :: l
        else (other, w) :: list_insert n k v rest
    end.

  (** A bound variable keeps its place (ORDER-2). *)
  Fixpoint list_replace (k : key) (v : V) l : list (key * V) :=
    match l with
    | [] => []
    | (other, w) :: rest =>
        if key_eqb k other then (other, v) :: rest else (other, w) :: list_replace k v rest
    end.

  Definition list_assoc (n : nat) (k : key) (v : V) l : list (key * V) :=
    match list_find k l with Some _ => list_replace k v l | None => list_insert n k v l end.

  Fixpoint list_without (k : key) l : list (key * V) :=
    match l with
    | [] => []
    | (other, w) :: rest => if key_eqb k other then rest else (other, w) :: list_without k rest
    end.
End lists.

(** All eight levels: the machine's plain map. *)
Global Instance list_bindings : Bindings (list (key * value)) := {
  empty_map := [];
  find := list_find;
  assoc := list_assoc 8;
  without := list_without;
  count l := N.of_nat (length l);
  items l := l;
}.
