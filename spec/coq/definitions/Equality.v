(** [==] on objects and on maps (EQ-1 to EQ-8, VAR-10, TOKEN-9). *)
From stdpp Require Import base numbers gmap.
From Contextvars Require Import Words Bindings State.
Local Open Scope N_scope.

(** The answer of a comparison, or the value whose comparison raised. *)
Notation verdict := (bool + value_id)%type (only parsing).

Definition equality_eqb (a b : equality) : bool :=
  match a, b with
  | Never, Never | Raises, Raises => true
  | Group a, Group b => a =? b
  | _, _ => false
  end.

Definition made_value (vs : gmap N (equality * bool)) (o : object) : option (value_id * equality) :=
  match o with ObjectValue id => (fun v : equality * bool => (id, fst v)) <$> vs !! id | _ => None end.

(** The left object answers if it is a value of the trace, else the right one, else identity (VAR-10,
    TOKEN-9, MISSING-2, EQ-8). *)
Definition equal_objects (vs : gmap N (equality * bool)) (left right : object) : verdict :=
  let answer asked other :=
    match asked with
    | (id, Raises) => inr id
    | (_, Never) => inl false
    | (_, group) => inl match other with Some (_, e) => equality_eqb e group | None => false end
    end in
  match made_value vs left, made_value vs right with
  | Some asked, other => answer asked other
  | None, Some asked => answer asked None
  | None, None => inl (object_eqb left right)
  end.

(** EQ-4, EQ-5 ([PyObject_RichCompareBool]). *)
Definition identical_or_equal (vs : gmap N (equality * bool)) (left right : value) : verdict :=
  if value_eqb left right then inl true else equal_objects vs (object_of left) (object_of right).

Section equality.
  Context {M : Type} `{Bindings M}.

  (** EQ-3 to EQ-6: in the left map's order until the first that is unequal or raises. *)
  Fixpoint equal_items (vs : gmap N (equality * bool)) (left : list (key * value)) (right : M) : verdict :=
    match left with
    | [] => inl true
    | (k, v) :: rest =>
        match find k right with
        | None => inl false
        | Some w =>
            match identical_or_equal vs v w with
            | inl true => equal_items vs rest right
            | other => other
            end
        end
    end.

  (** EQ-1, EQ-2. That one map is equal to itself without a comparison (EQ-1) is a theorem. *)
  Definition equal_maps (vs : gmap N (equality * bool)) (left right : M) : verdict :=
    if count left =? count right then equal_items vs (items left) right else inl false.

  Definition named_map (s : state M) (name : context_id) : M :=
    match names s !! name with Some c => ctx_map (context_of s c) | None => empty_map end.

  (** EQ-8: maps are compared where both sides are contexts. *)
  Definition equal (s : state M) (left right : object) : verdict :=
    match left, right with
    | ObjectContext a, ObjectContext b => equal_maps (values s) (named_map s a) (named_map s b)
    | _, _ => equal_objects (values s) left right
    end.
End equality.
