(** The plain map is a finite map, and its order is that of the rules (ORDER-1, ORDER-2). *)
From stdpp Require Import base numbers list sorting.
From Coq Require Import Lia.
From Contextvars Require Import Words SortedList.
From ContextvarsProofs Require Import Places Lists.
Local Open Scope N_scope.

Section laws.
  Context {V : Type} (n : nat).
  Implicit Types (l : list (key * V)) (k : key) (v : V).

  Definition keys l : list key := map fst l.
  Definition place_of (z : key * V) : N := place n (key_hash z.1).

  (** Every key once, by ascending place. *)
  Definition ordered l : Prop :=
    NoDup (keys l) /\ StronglySorted (fun y z => place_of y <= place_of z) l.

  Lemma find_none_keys k l : list_find k l = None <-> k ∉ keys l.
  Proof.
    induction l as [|[o w] l IH]; cbn; [split; [intros _ H; inversion H | trivial]|].
    rewrite not_elem_of_cons. destruct (key_eqb k o) eqn:E.
    - apply key_eqb_true in E. subst. split; [discriminate | intros [[] _]; reflexivity].
    - apply key_eqb_false in E. rewrite IH. tauto.
  Qed.

  Lemma keys_replace k v l : keys (list_replace k v l) = keys l.
  Proof. induction l as [|[o w] l IH]; cbn; [|destruct (key_eqb k o); cbn; f_equal]; auto. Qed.

  (** Where a new binding goes: behind all of an equal or smaller place, before all others. *)
  Lemma insert_where k v l : StronglySorted (fun y z => place_of y <= place_of z) l ->
    exists l1 l2, l = l1 ++ l2 /\ list_insert n k v l = l1 ++ (k, v) :: l2 /\
      Forall (fun z => place_of z <= place_of (k, v)) l1 /\ Forall (fun z => place_of (k, v) < place_of z) l2.
  Proof.
    induction l as [|[o w] l IH]; intros S; cbn [list_insert].
    - exists [], []. repeat split; constructor.
    - apply StronglySorted_inv in S as [S F]. destruct (N.ltb_spec (place n (key_hash k)) (place n (key_hash o))) as [L|L].
      + exists [], ((o, w) :: l). repeat split; [constructor|]. constructor; [exact L|].
        eapply Forall_impl; [exact F|]. unfold place_of. cbn. intros; lia.
      + destruct (IH S) as (l1 & l2 & -> & -> & F1 & F2). exists ((o, w) :: l1), l2.
        repeat split; auto.
  Qed.

  Lemma sorted_app (R : key * V -> key * V -> Prop) l1 l2 :
    StronglySorted R (l1 ++ l2) <->
    StronglySorted R l1 /\ StronglySorted R l2 /\ Forall (fun y => Forall (R y) l2) l1.
  Proof.
    induction l1 as [|y l1 IH]; cbn [app].
    - split; [intros; repeat split; auto; constructor | tauto].
    - split.
      + intros [S F]%StronglySorted_inv. apply IH in S as (S1 & S2 & B). apply Forall_app in F as [F1 F2].
        repeat split; auto; constructor; auto.
      + intros ([S1 F1]%StronglySorted_inv & S2 & [B1 B2]%Forall_cons).
        constructor; [apply IH; auto | apply Forall_app; auto].
  Qed.

  Lemma sorted_replace k v l : StronglySorted (fun y z => place_of y <= place_of z) l ->
    StronglySorted (fun y z => place_of y <= place_of z) (list_replace k v l).
  Proof.
    assert (forall y l, Forall (fun z => place_of y <= place_of z) l ->
      Forall (fun z => place_of y <= place_of z) (list_replace k v l)) as A.
    { intros y m F. induction F as [|[o w] m Ho Fm IH]; cbn; [constructor|].
      destruct (key_eqb k o); constructor; auto. }
    induction l as [|[o w] l IH]; cbn; [trivial|]. intros [S F]%StronglySorted_inv.
    destruct (key_eqb k o); constructor; auto.
  Qed.

  Lemma keys_app l1 l2 : keys (l1 ++ l2) = keys l1 ++ keys l2.
  Proof. apply map_app. Qed.

  Theorem ordered_assoc k v l : ordered l -> ordered (list_assoc n k v l).
  Proof.
    intros [U S]. unfold list_assoc. destruct (list_find k l) eqn:E.
    - split; [rewrite keys_replace; exact U | apply sorted_replace, S].
    - apply find_none_keys in E. destruct (insert_where k v l S) as (l1 & l2 & -> & -> & F1 & F2). split.
      + rewrite keys_app in *. cbn [keys map fst]. change (map fst l2) with (keys l2).
        rewrite not_elem_of_app in E. apply NoDup_app in U as (U1 & U12 & U2). apply NoDup_app. repeat split; auto.
        * intros x Hx. rewrite not_elem_of_cons. split; [intros ->; tauto | auto].
        * apply NoDup_cons. tauto.
      + apply sorted_app in S as (S1 & S2 & B). apply sorted_app. repeat split; auto.
        * constructor; [exact S2|]. eapply Forall_impl; [exact F2|]. cbn. intros; lia.
        * rewrite Forall_forall in *. intros y Hy. constructor; auto.
  Qed.

  Lemma without_sub k l : sublist (list_without k l) l.
  Proof. induction l as [|[o w] l IH]; cbn; [constructor|]. destruct (key_eqb k o); constructor; auto. Qed.

  Lemma without_forall (Q : key * V -> Prop) k l : Forall Q l -> Forall Q (list_without k l).
  Proof.
    induction 1 as [|[o w] l Ho Fl IH]; cbn; [constructor|]. destruct (key_eqb k o); [|constructor]; auto.
  Qed.

  Lemma not_in_without x k l : x ∉ keys l -> x ∉ keys (list_without k l).
  Proof.
    induction l as [|[o w] l IH]; cbn; [trivial|]. rewrite not_elem_of_cons. intros [N1 N2].
    destruct (key_eqb k o); [exact N2|]. cbn. apply not_elem_of_cons. auto.
  Qed.

  Theorem ordered_without k l : ordered l -> ordered (list_without k l).
  Proof.
    unfold ordered. induction l as [|[o w] l IH]; cbn; [trivial|].
    intros [[Uo U]%NoDup_cons [S F]%StronglySorted_inv].
    destruct (key_eqb k o); [split; assumption|]. destruct IH as [U' S']; [auto|]. cbn. split.
    - apply NoDup_cons. split; [apply not_in_without, Uo | exact U'].
    - constructor; [exact S' | apply without_forall, F].
  Qed.

  Theorem ordered_nil : ordered [].
  Proof. split; constructor. Qed.

  (** ** The laws of a finite map *)

  Theorem find_assoc k v l k' :
    list_find k' (list_assoc n k v l) = if key_eqb k' k then Some v else list_find k' l.
  Proof.
    unfold list_assoc. destruct (list_find k l) as [old|] eqn:E.
    - clear -E. induction l as [|[o w] l IH]; cbn in *; [discriminate|]. destruct (key_eqb k o) eqn:Eo; cbn.
      + apply key_eqb_true in Eo. subst o. destruct (key_eqb k' k); reflexivity.
      + rewrite IH by exact E. destruct (key_eqb k' o) eqn:E'; [|reflexivity].
        apply key_eqb_true in E'. subst o. rewrite key_eqb_sym, Eo. reflexivity.
    - clear -E. induction l as [|[o w] l IH]; cbn in *; [reflexivity|].
      destruct (key_eqb k o) eqn:Eo; [discriminate|]. destruct (_ <? _); cbn; [reflexivity|].
      rewrite IH by exact E. destruct (key_eqb k' o) eqn:E'; [|reflexivity].
      apply key_eqb_true in E'. subst o. rewrite key_eqb_sym, Eo. reflexivity.
  Qed.

  Theorem find_without k l k' : ordered l ->
    list_find k' (list_without k l) = if key_eqb k' k then None else list_find k' l.
  Proof.
    intros [U _]. induction l as [|[o w] l IH]; cbn in *; [destruct (key_eqb k' k); reflexivity|].
    apply NoDup_cons in U as [Uo U]. destruct (key_eqb k o) eqn:Eo.
    - apply key_eqb_true in Eo. subst o. destruct (key_eqb k' k) eqn:E'; [|reflexivity].
      apply key_eqb_true in E'. subst k'. apply find_none_keys, Uo.
    - cbn. destruct (key_eqb k' o) eqn:E'; [|auto].
      apply key_eqb_true in E'. subst o. rewrite key_eqb_sym, Eo. reflexivity.
  Qed.

  (** The items are exactly the bindings. *)
  Theorem items_find k v l : ordered l -> (k, v) ∈ l <-> list_find k l = Some v.
  Proof.
    intros [U _]. split; [|apply find_some_in]. induction l as [|[o w] l IH]; cbn in *; [intros H; inversion H|].
    apply NoDup_cons in U as [Uo U]. rewrite elem_of_cons. intros [[= <- <-] | H].
    - rewrite key_eqb_refl. reflexivity.
    - destruct (key_eqb k o) eqn:E; [|auto]. apply key_eqb_true in E. subst o.
      exfalso. apply Uo. apply elem_of_list_fmap. exists (k, v). auto.
  Qed.
End laws.
