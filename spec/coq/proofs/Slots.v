(** The slots of a branch: where a slot is, and what it leaves before and behind it. *)
From stdpp Require Import base numbers list sorting.
From Coq Require Import Lia.
From Contextvars Require Import Words SortedList Hamt.
Local Open Scope N_scope.

Section slots.
  Context {V : Type}.
  Implicit Types (l : list (N * node V)) (c : N) (x y : node V).

  Definition ascending l : Prop := StronglySorted (fun s t : N * node V => s.1 < t.1) l.

  (** A slot is in use or not; either way the others are before or behind it. *)
  Inductive slot_view c l : Prop :=
  | SlotFree l1 l3
      (Hl : l = l1 ++ l3)
      (H1 : Forall (fun s => s.1 < c) l1) (H3 : Forall (fun s => c < s.1) l3)
      (Hfind : slot_find c l = None)
      (Hinsert : forall x, slot_insert c x l = l1 ++ (c, x) :: l3)
  | SlotUsed l1 x l3
      (Hl : l = l1 ++ (c, x) :: l3)
      (H1 : Forall (fun s => s.1 < c) l1) (H3 : Forall (fun s => c < s.1) l3)
      (Hfind : slot_find c l = Some x)
      (Hreplace : forall y, slot_replace c y l = l1 ++ (c, y) :: l3)
      (Hremove : slot_remove c l = l1 ++ l3).

  Lemma slot_cases c l : ascending l -> slot_view c l.
  Proof.
    unfold ascending. induction l as [|[o x] l IH].
    - intros _. apply (SlotFree c [] [] []); reflexivity || constructor.
    - intros S. apply StronglySorted_inv in S as [S F]. cbn [fst] in F.
      destruct (N.lt_trichotomy c o) as [L | [-> | L]].
      + apply (SlotFree c _ [] ((o, x) :: l)); try reflexivity.
        * constructor.
        * constructor; [exact L|]. eapply Forall_impl; [exact F|]. cbn. intros; lia.
        * cbn. destruct (N.eqb_spec c o); [lia|].
          clear IH. induction l as [|[p y] l IH]; [reflexivity|]. cbn.
          rewrite Forall_cons in F. cbn in F. destruct (N.eqb_spec c p); [lia|]. apply IH; [|tauto].
          apply StronglySorted_inv in S. tauto.
        * intros y. cbn. destruct (N.ltb_spec c o); [reflexivity | lia].
      + apply (SlotUsed o _ [] x l); try reflexivity.
        * constructor.
        * exact F.
        * cbn. rewrite N.eqb_refl. reflexivity.
        * intros y. cbn. rewrite N.eqb_refl. reflexivity.
        * cbn. rewrite N.eqb_refl. reflexivity.
      + destruct (IH S) as [l1 l3 -> H1 H3 Hfind Hinsert | l1 y l3 -> H1 H3 Hfind Hreplace Hremove].
        * apply (SlotFree c _ ((o, x) :: l1) l3); try reflexivity; auto.
          -- cbn. destruct (N.eqb_spec c o); [lia | exact Hfind].
          -- intros y. cbn. destruct (N.ltb_spec c o); [lia|]. f_equal. apply Hinsert.
        * apply (SlotUsed c _ ((o, x) :: l1) y l3); try reflexivity; auto.
          -- cbn. destruct (N.eqb_spec c o); [lia | exact Hfind].
          -- intros z. cbn. destruct (N.eqb_spec c o); [lia|]. f_equal. apply Hreplace.
          -- cbn. destruct (N.eqb_spec c o); [lia|]. f_equal. exact Hremove.
  Qed.

  Lemma ascending_app l1 l3 :
    ascending (l1 ++ l3) <-> ascending l1 /\ ascending l3 /\ Forall (fun s => Forall (fun t => s.1 < t.1) l3) l1.
  Proof.
    unfold ascending. induction l1 as [|[o x] l1 IH]; cbn [app].
    - split; [intros; repeat split; auto; constructor | tauto].
    - split.
      + intros S. apply StronglySorted_inv in S as [S F]. apply IH in S as (S1 & S3 & B).
        apply Forall_app in F as [F1 F3]. repeat split; auto. constructor; assumption.
      + intros (S1 & S3 & B). apply StronglySorted_inv in S1 as [S1 F1]. rewrite Forall_cons in B.
        constructor; [apply IH; tauto | apply Forall_app; tauto].
  Qed.

  Lemma ascending_insert c x l1 l3 : ascending (l1 ++ l3) ->
    Forall (fun s => s.1 < c) l1 -> Forall (fun s => c < s.1) l3 -> ascending (l1 ++ (c, x) :: l3).
  Proof.
    rewrite !ascending_app. intros (S1 & S3 & B) H1 H3. repeat split; auto.
    - constructor; [exact S3 | exact H3].
    - rewrite Forall_forall in *. intros s Hs. constructor; [apply H1, Hs | apply B, Hs].
  Qed.

  Lemma ascending_remove c x l1 l3 : ascending (l1 ++ (c, x) :: l3) -> ascending (l1 ++ l3).
  Proof.
    rewrite !ascending_app. intros (S1 & S3 & B). apply StronglySorted_inv in S3 as [S3 _].
    repeat split; auto. eapply Forall_impl; [exact B|]. intros s Hs. rewrite Forall_cons in Hs. tauto.
  Qed.

  Lemma ascending_replace c x y l1 l3 : ascending (l1 ++ (c, x) :: l3) -> ascending (l1 ++ (c, y) :: l3).
  Proof.
    rewrite !ascending_app. intros (S1 & S3 & B). apply StronglySorted_inv in S3 as [S3 F].
    repeat split; auto; [constructor; assumption|].
    eapply Forall_impl; [exact B|]. intros s Hs. rewrite Forall_cons in *. tauto.
  Qed.

  Lemma ascending_map (f : node V -> node V) l : ascending l -> ascending (map (fun '(c, x) => (c, f x)) l).
  Proof.
    unfold ascending. induction l as [|[c x] l IH]; cbn; [trivial|].
    intros S. apply StronglySorted_inv in S as [S F]. constructor; [apply IH, S|].
    clear - F. induction F as [|[d y] l Hd _ IH]; constructor; assumption.
  Qed.

  (** No more slots than chunks. *)
  Lemma ascending_length l bound : ascending l -> Forall (fun s => s.1 < bound) l ->
    (length l <= N.to_nat bound)%nat.
  Proof.
    intros S F.
    assert (forall lo, Forall (fun s => lo <= s.1) l -> (length l <= N.to_nat (bound - lo))%nat) as G.
    { induction l as [|[c x] l IH]; cbn; [lia|]. intros lo L.
      apply StronglySorted_inv in S as [S A].
      rewrite Forall_cons in L, F. destruct L as [L _], F as [Fc F]. cbn in L, Fc.
      specialize (IH S F (c + 1)). cut (length l <= N.to_nat (bound - (c + 1)))%nat; [lia|].
      apply IH. eapply Forall_impl; [exact A|]. cbn. intros; lia. }
    specialize (G 0). replace (bound - 0) with bound in G by lia. apply G.
    apply Forall_forall. intros; lia.
  Qed.
End slots.
