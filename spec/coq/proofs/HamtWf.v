(** Well-formed tries: every key is where its hash leads, and no branch is deeper than seven levels. *)
From stdpp Require Import base numbers list sorting.
From Coq Require Import Lia.
From Contextvars Require Import Words SortedList Hamt.
From ContextvarsProofs Require Import Places Lists Slots.
Local Open Scope N_scope.

Section wf.
  Context {V : Type}.
  Implicit Types (t x y : node V) (l : list (N * node V)) (P : N -> Prop).

  Definition in_slot (n : nat) P (c : N) : N -> Prop := fun hash => P hash /\ chunk n hash = c.

  (** [P] is what the hashes of a node have in common. A branch has at least a level below it: at the
      eighth level there are collision nodes only. An array node has two: sixteen slots need four bits. *)
  Fixpoint wf (n : nat) P t : Prop :=
    match n with
    | O => False
    | S below =>
        match t with
        | Leaf _ _ => False
        | Collision hash pairs => P hash /\ Forall (fun z : key * V => key_hash z.1 = hash) pairs
        | Branch shape l =>
            below <> O /\ (shape = Array -> (2 <= below)%nat) /\ ascending l /\
            Forall (fun '(c, x) =>
              (exists hash, in_slot n P c hash) /\
              match x with Leaf k _ => in_slot n P c (key_hash k) | x => wf below (in_slot n P c) x end) l
        end
    end.

  (** What a slot holds: a pair or a node. *)
  Definition content (n : nat) P x : Prop :=
    match x with Leaf k _ => P (key_hash k) | x => wf n P x end.
  Definition content_items (n : nat) x : list (key * V) :=
    match x with Leaf k v => [(k, v)] | x => node_items n x end.
  Definition slot_ok (n : nat) P (s : N * node V) : Prop :=
    (exists hash, in_slot (S n) P s.1 hash) /\ content n (in_slot (S n) P s.1) s.2.

  Lemma wf_branch n P shape l :
    wf (S n) P (Branch shape l) <->
    n <> O /\ (shape = Array -> (2 <= n)%nat) /\ ascending l /\ Forall (slot_ok n P) l.
  Proof.
    cbn [wf].
    assert (Forall (fun '(c, x) =>
              (exists hash, in_slot (S n) P c hash) /\
              match x with Leaf k _ => in_slot (S n) P c (key_hash k) | x => wf n (in_slot (S n) P c) x end) l
            <-> Forall (slot_ok n P) l) as ->; [|reflexivity].
    apply Forall_proper; [|reflexivity]. intros [c x]. unfold slot_ok, content. cbn. destruct x; reflexivity.
  Qed.

  Definition slots_items (n : nat) l : list (key * V) := flat_map (fun s => content_items n s.2) l.

  Lemma items_branch n shape l : node_items (S n) (Branch shape l) = slots_items n l.
  Proof.
    cbn [node_items]. unfold slots_items. apply flat_map_ext. intros [c x]. destruct x; reflexivity.
  Qed.

  Lemma slots_items_app n l1 l2 : slots_items n (l1 ++ l2) = slots_items n l1 ++ slots_items n l2.
  Proof. unfold slots_items. rewrite !flat_map_concat_map, map_app, concat_app. reflexivity. Qed.

  Lemma slots_items_cons n c x l : slots_items n ((c, x) :: l) = content_items n x ++ slots_items n l.
  Proof. reflexivity. Qed.

  (** ** The keys of a node have its hashes *)

  Definition all_keys P (l : list (key * V)) : Prop := Forall (fun z : key * V => P (key_hash z.1)) l.

  Lemma node_keys n : forall P t, wf n P t -> all_keys P (node_items n t).
  Proof.
    induction n as [|n IH]; [intros ? ? []|]. intros P [k v | shape l | hash pairs]; [intros []| |].
    - rewrite wf_branch, items_branch. intros (_ & _ & _ & F). induction F as [|[c x] l [_ Hx] _ IHl].
      + constructor.
      + rewrite slots_items_cons. apply Forall_app. split; [|exact IHl]. cbn in Hx.
        assert (all_keys (in_slot (S n) P c) (content_items n x)) as A.
        { destruct x; [repeat constructor; apply Hx | apply IH, Hx | apply IH, Hx]. }
        eapply Forall_impl; [exact A|]. intros z Hz. apply Hz.
    - intros [Hh F]. cbn. eapply Forall_impl; [exact F|]. cbn. intros z ->. exact Hh.
  Qed.

  Lemma content_keys n P x : content n P x -> all_keys P (content_items n x).
  Proof. destruct x; cbn [content content_items]; intros H; [repeat constructor; exact H | apply node_keys, H | apply node_keys, H]. Qed.

  Lemma slots_keys n P l (R : N -> Prop) : Forall (slot_ok n P) l -> Forall (fun s => R s.1) l ->
    Forall (fun z => R (chunk_of (S n) z)) (slots_items n l).
  Proof.
    intros F. induction F as [|[c x] l [_ Hx] _ IH]; intros G; [constructor|].
    apply Forall_cons in G as [Hc G]. rewrite slots_items_cons. apply Forall_app. split; [|apply IH, G].
    eapply Forall_impl; [apply content_keys, Hx|]. intros z [_ Hz]. unfold chunk_of. cbn in *. congruence.
  Qed.

  Lemma content_wf n P x : (forall k v, x <> Leaf k v) -> content n P x -> wf n P x.
  Proof. destruct x; [intros H; exfalso; eapply H; reflexivity | trivial | trivial]. Qed.

  Lemma content_wf_back n P x : wf n P x -> content n P x.
  Proof. destruct n, x; cbn; tauto. Qed.

  Lemma content_items_wf n P x : wf n P x -> content_items n x = node_items n x.
  Proof. intros W. destruct n, x; cbn in *; tauto. Qed.
End wf.

(** All hashes of a node agree on the bits that lead to it. *)
Definition agree (n : nat) (P : N -> Prop) : Prop :=
  (forall a, P a -> a < half) /\ (forall a b, P a -> P b -> prefix n a = prefix n b).

Lemma agree_top : agree 8 (fun hash => hash < half).
Proof. split; [trivial|]. intros a b _ _. rewrite !prefix_top. reflexivity. Qed.

Lemma agree_below n P c : (S n <= 8)%nat -> agree (S n) P -> agree n (in_slot (S n) P c).
Proof.
  intros Hn [B A]. split; [intros a [Ha _]; auto|].
  intros a b [Ha Ca] [Hb Cb]. rewrite (prefix_split n a Hn), (prefix_split n b Hn), Ca, Cb, (A a b Ha Hb). reflexivity.
Qed.

Lemma agree_bottom P a b : agree 1 P -> P a -> P b -> a = b.
Proof. intros [B A] Ha Hb. apply prefix_full; auto. Qed.
