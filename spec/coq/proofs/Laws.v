(** What theorems about the machine need of a map: it is the plain list of its items. Both maps are. *)
From stdpp Require Import base numbers list sorting.
From Coq Require Import Lia.
From Contextvars Require Import Words Bindings SortedList Hamt State.
From ContextvarsProofs Require Import Places Lists FiniteMap HamtMap.
Local Open Scope N_scope.

(** Every key of the machine has a hash of 32 bits. *)
Lemma fold_half hash : fold hash < half.
Proof.
  unfold fold, half. change 4294967295 with (N.ones 32). rewrite N.land_ones.
  pose proof (N.mod_lt (N.lxor (low hash) (high hash)) (2 ^ 32)).
  change (2 ^ 32) with 4294967296 in *. change (N.ones 32) with 4294967295.
  destruct (_ =? _); lia.
Qed.

Lemma key_of_ok v x : key_ok (key_of v x).
Proof. apply fold_half. Qed.

Class Lawful (M : Type) `{Bindings M} := {
  good : M -> Prop;
  good_empty : good empty_map;
  good_assoc k v m : key_ok k -> good m -> good (assoc k v m);
  good_without k m : key_ok k -> good m -> good (without k m);
  items_empty : items empty_map = [];
  items_assoc k v m : key_ok k -> good m -> items (assoc k v m) = list_assoc 8 k v (items m);
  items_without k m : key_ok k -> good m -> items (without k m) = list_without k (items m);
  find_items k m : good m -> find k m = list_find k (items m);
  count_items m : good m -> count m = N.of_nat (length (items m));
  items_ordered m : good m -> ordered 8 (items m);
}.

Global Program Instance list_lawful : Lawful (list (key * value)) := { good := ordered 8 }.
Next Obligation. apply ordered_nil. Qed.
Next Obligation. intros k v m _. apply ordered_assoc. Qed.
Next Obligation. intros k m _. apply ordered_without. Qed.
Solve All Obligations with reflexivity || trivial.

Global Program Instance hamt_lawful : Lawful (hamt value) := { good := hamt_ok }.
Next Obligation. apply hamt_empty_ok. Qed.
Next Obligation. intros. apply hamt_assoc_ok; assumption. Qed.
Next Obligation. intros. apply hamt_without_ok; assumption. Qed.
Next Obligation. reflexivity. Qed.
Next Obligation. intros k v m Hk Hm. apply (hamt_assoc_represents _ _ k v Hk Hm). Qed.
Next Obligation. intros k m Hk Hm. apply (hamt_without_represents _ _ k Hk Hm). Qed.
Next Obligation. intros k m Hm. apply hamt_find_represents, Hm. Qed.
Next Obligation. intros m Hm. apply hamt_count, Hm. Qed.
Next Obligation. intros m Hm. apply Hm. Qed.

Section laws.
  Context {M : Type} `{Lawful M}.
  Implicit Types (m : M) (k : key) (v : value).

  Theorem law_find_empty k : find k empty_map = None.
  Proof. rewrite find_items by apply good_empty. rewrite items_empty. reflexivity. Qed.

  Theorem law_find_assoc k v m k' : key_ok k -> good m ->
    find k' (assoc k v m) = if key_eqb k' k then Some v else find k' m.
  Proof.
    intros Hk Hm. rewrite !find_items, items_assoc by (try apply good_assoc; assumption). apply find_assoc.
  Qed.

  Theorem law_find_without k m k' : key_ok k -> good m ->
    find k' (without k m) = if key_eqb k' k then None else find k' m.
  Proof.
    intros Hk Hm. rewrite !find_items, items_without by (try apply good_without; assumption).
    apply (find_without 8), items_ordered, Hm.
  Qed.

  (** Binding twice is binding once, and binding what is bound changes nothing. *)
  Lemma list_assoc_twice n k v w (l : list (key * value)) :
    list_assoc n k w (list_assoc n k v l) = list_assoc n k w l.
  Proof.
    unfold list_assoc at 1. rewrite find_assoc, key_eqb_refl. unfold list_assoc. destruct (list_find k l) eqn:E.
    - clear E. induction l as [|[o x] l IH]; cbn; [reflexivity|].
      destruct (key_eqb k o) eqn:Eo; cbn; rewrite Eo; [reflexivity | f_equal; exact IH].
    - induction l as [|[o x] l IH]; cbn in *; [rewrite key_eqb_refl; reflexivity|].
      destruct (key_eqb k o) eqn:Eo; [discriminate|]. destruct (_ <? _); cbn.
      + rewrite key_eqb_refl. reflexivity.
      + rewrite Eo. f_equal. apply IH, E.
  Qed.

  Lemma list_assoc_same n k v (l : list (key * value)) : list_find k l = Some v -> list_assoc n k v l = l.
  Proof.
    intros E. unfold list_assoc. rewrite E. induction l as [|[o x] l IH]; cbn in *; [reflexivity|].
    destruct (key_eqb k o); [injection E as ->; reflexivity | f_equal; apply IH, E].
  Qed.

  Lemma list_without_assoc n k v (l : list (key * value)) : list_find k l = None ->
    list_without k (list_assoc n k v l) = l.
  Proof.
    intros E. unfold list_assoc. rewrite E. induction l as [|[o x] l IH]; cbn in *.
    - rewrite key_eqb_refl. reflexivity.
    - destruct (key_eqb k o) eqn:Eo; [discriminate|]. destruct (_ <? _); cbn.
      + rewrite key_eqb_refl. reflexivity.
      + rewrite Eo. f_equal. apply IH, E.
  Qed.

  Theorem law_rebind k v old m : key_ok k -> good m -> find k m = Some old ->
    items (assoc k old (assoc k v m)) = items m.
  Proof.
    intros Hk Hm E. rewrite !items_assoc by (try apply good_assoc; assumption).
    rewrite list_assoc_twice. apply list_assoc_same. rewrite <- find_items by exact Hm. exact E.
  Qed.

  Theorem law_unbind k v m : key_ok k -> good m -> find k m = None ->
    items (without k (assoc k v m)) = items m.
  Proof.
    intros Hk Hm E. rewrite items_without, items_assoc by (try apply good_assoc; assumption).
    apply list_without_assoc. rewrite <- find_items by exact Hm. exact E.
  Qed.
End laws.
