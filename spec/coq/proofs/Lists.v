(** The plain map: lookups after changes, and how a change of one part is a change of the whole. *)
From stdpp Require Import base numbers list.
From Coq Require Import Lia.
From Contextvars Require Import Words SortedList.
From ContextvarsProofs Require Import Places.
Local Open Scope N_scope.

Section lists.
  Context {V : Type}.
  Implicit Types (l : list (key * V)) (k : key) (v : V).

  Lemma find_app k l1 l2 :
    list_find k (l1 ++ l2) = match list_find k l1 with Some v => Some v | None => list_find k l2 end.
  Proof. induction l1 as [|[o w] l1 IH]; cbn; [|destruct (key_eqb k o)]; auto. Qed.

  Lemma find_none k l : Forall (fun x => x.1 <> k) l -> list_find k l = None.
  Proof.
    induction 1 as [|[o w] l Hx _ IH]; cbn in *; [reflexivity|].
    destruct (key_eqb k o) eqn:E; [apply key_eqb_true in E; congruence | exact IH].
  Qed.

  Lemma find_some_in k v l : list_find k l = Some v -> (k, v) ∈ l.
  Proof.
    induction l as [|[o w] l IH]; cbn; [discriminate|].
    destruct (key_eqb k o) eqn:E; intros F.
    - apply key_eqb_true in E. injection F as ->. subst. left.
    - right. auto.
  Qed.

  Lemma replace_app_found k v l1 l2 : list_find k l1 <> None ->
    list_replace k v (l1 ++ l2) = list_replace k v l1 ++ l2.
  Proof.
    induction l1 as [|[o w] l1 IH]; cbn; [congruence|].
    destruct (key_eqb k o); cbn; [reflexivity | intros; f_equal; auto].
  Qed.

  Lemma replace_app_absent k v l1 l2 : list_find k l1 = None ->
    list_replace k v (l1 ++ l2) = l1 ++ list_replace k v l2.
  Proof.
    induction l1 as [|[o w] l1 IH]; cbn; [reflexivity|].
    destruct (key_eqb k o); [discriminate | intros; f_equal; auto].
  Qed.

  Lemma without_app_found k l1 l2 : list_find k l1 <> None ->
    list_without k (l1 ++ l2) = list_without k l1 ++ l2.
  Proof.
    induction l1 as [|[o w] l1 IH]; cbn; [congruence|].
    destruct (key_eqb k o); cbn; [reflexivity | intros; f_equal; auto].
  Qed.

  Lemma without_app_absent k l1 l2 : list_find k l1 = None ->
    list_without k (l1 ++ l2) = l1 ++ list_without k l2.
  Proof.
    induction l1 as [|[o w] l1 IH]; cbn; [reflexivity|].
    destruct (key_eqb k o); [discriminate | intros; f_equal; auto].
  Qed.

  Lemma without_absent k l : list_find k l = None -> list_without k l = l.
  Proof.
    induction l as [|[o w] l IH]; cbn; [reflexivity|].
    destruct (key_eqb k o); [discriminate | intros; f_equal; auto].
  Qed.

  (** ** Parts by their chunk *)

  Definition chunk_of (n : nat) (x : key * V) : N := chunk n (key_hash x.1).

  Lemma find_other_chunk n k l :
    Forall (fun x => chunk_of n x <> chunk n (key_hash k)) l -> list_find k l = None.
  Proof. intros F. apply find_none. eapply Forall_impl; [exact F|]. intros x Hx E. apply Hx.
    unfold chunk_of. rewrite E. reflexivity. Qed.

  Lemma insert_after_less n k v l1 l2 : Forall (fun x => chunk_of (S n) x < chunk (S n) (key_hash k)) l1 ->
    list_insert (S n) k v (l1 ++ l2) = l1 ++ list_insert (S n) k v l2.
  Proof.
    induction 1 as [|[o w] l1 Hx _ IH]; cbn [app list_insert]; [reflexivity|].
    apply place_chunk_lt in Hx. cbn [fst] in Hx.
    replace (_ <? _) with false by (symmetry; apply N.ltb_ge; lia). f_equal. exact IH.
  Qed.

  Lemma insert_before_more n k v l : Forall (fun x => chunk (S n) (key_hash k) < chunk_of (S n) x) l ->
    list_insert (S n) k v l = (k, v) :: l.
  Proof.
    destruct 1 as [|[o w] l Hx _]; cbn [list_insert]; [reflexivity|].
    apply place_chunk_lt in Hx. cbn [fst] in Hx.
    replace (_ <? _) with true by (symmetry; apply N.ltb_lt; lia). reflexivity.
  Qed.

  Lemma insert_among_equal n k v l2 l3 :
    Forall (fun x => chunk_of (S n) x = chunk (S n) (key_hash k)) l2 ->
    Forall (fun x => chunk (S n) (key_hash k) < chunk_of (S n) x) l3 ->
    list_insert (S n) k v (l2 ++ l3) = list_insert n k v l2 ++ l3.
  Proof.
    intros H2 H3. induction H2 as [|[o w] l2 Hx _ IH]; cbn [app].
    - rewrite insert_before_more by assumption. reflexivity.
    - change (chunk (S n) (key_hash o) = chunk (S n) (key_hash k)) in Hx. cbn [list_insert].
      rewrite place_chunk_eq by congruence. destruct (_ <? _); [reflexivity|]. cbn [app]. f_equal. exact IH.
  Qed.

  Section split.
    Context (n : nat) (k : key) (l1 l2 l3 : list (key * V)).
    Context (H1 : Forall (fun x => chunk_of (S n) x < chunk (S n) (key_hash k)) l1).
    Context (H2 : Forall (fun x => chunk_of (S n) x = chunk (S n) (key_hash k)) l2).
    Context (H3 : Forall (fun x => chunk (S n) (key_hash k) < chunk_of (S n) x) l3).

    Lemma absent_1 : list_find k l1 = None.
    Proof. apply (find_other_chunk (S n)). eapply Forall_impl; [exact H1|]. intros; cbn in *; lia. Qed.
    Lemma absent_3 : list_find k l3 = None.
    Proof. apply (find_other_chunk (S n)). eapply Forall_impl; [exact H3|]. intros; cbn in *; lia. Qed.

    Lemma find_split : list_find k (l1 ++ l2 ++ l3) = list_find k l2.
    Proof. rewrite !find_app, absent_1, absent_3. destruct (list_find k l2); reflexivity. Qed.

    Lemma assoc_split v : list_assoc (S n) k v (l1 ++ l2 ++ l3) = l1 ++ list_assoc n k v l2 ++ l3.
    Proof.
      unfold list_assoc. rewrite find_split. destruct (list_find k l2) eqn:E.
      - rewrite replace_app_absent by exact absent_1. f_equal. apply replace_app_found. congruence.
      - rewrite insert_after_less by assumption. f_equal. apply insert_among_equal; assumption.
    Qed.

    Lemma without_split : list_without k (l1 ++ l2 ++ l3) = l1 ++ list_without k l2 ++ l3.
    Proof.
      rewrite without_app_absent by exact absent_1. f_equal. destruct (list_find k l2) eqn:E.
      - apply without_app_found. congruence.
      - rewrite without_app_absent, without_absent by (assumption || exact absent_3).
        rewrite (without_absent k l2) by assumption. reflexivity.
    Qed.
  End split.

  (** ** Sizes *)

  Lemma insert_length n k v l : length (list_insert n k v l) = S (length l).
  Proof. induction l as [|[o w] l IH]; cbn; [|destruct (_ <? _)]; cbn; auto. Qed.

  Lemma replace_length k v l : length (list_replace k v l) = length l.
  Proof. induction l as [|[o w] l IH]; cbn; [|destruct (key_eqb k o)]; cbn; auto. Qed.

  Lemma assoc_length n k v l :
    length (list_assoc n k v l) = match list_find k l with Some _ => length l | None => S (length l) end.
  Proof. unfold list_assoc. destruct (list_find k l); [apply replace_length | apply insert_length]. Qed.

  Lemma without_length k l : list_find k l <> None -> S (length (list_without k l)) = length l.
  Proof.
    induction l as [|[o w] l IH]; cbn; [congruence|]. destruct (key_eqb k o); cbn; auto.
  Qed.
End lists.
