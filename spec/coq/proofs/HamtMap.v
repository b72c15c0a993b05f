(** The trie as a finite map: its operations, its count, its order, its depth. *)
From stdpp Require Import base numbers list sorting.
From Coq Require Import Lia.
From Contextvars Require Import Words SortedList Hamt.
From ContextvarsProofs Require Import Places Lists FiniteMap HamtWf HamtCorrect.
Local Open Scope N_scope.

(** A key whose hash has 32 bits: every key of the machine is one ([fold_half]). *)
Definition key_ok (k : key) : Prop := key_hash k < half.

Section map.
  Context {V : Type}.
  Implicit Types (m : hamt V) (k : key) (v : V).

  (** A trie and its plain map: well-formed, of the right count, ordered. *)
  Definition represents m (l : list (key * V)) : Prop :=
    wf levels (fun hash => hash < half) (root m) /\
    hamt_items m = l /\ size m = N.of_nat (length l) /\ ordered levels l.

  Definition hamt_ok m : Prop := represents m (hamt_items m).

  Theorem hamt_empty_represents : represents hamt_empty [].
  Proof.
    repeat split; try discriminate; constructor.
  Qed.

  Theorem hamt_find_represents m l k : represents m l -> hamt_find k m = list_find k l.
  Proof. intros (W & <- & _ & _). eapply node_find_items, W. Qed.

  Theorem hamt_assoc_represents m l k v : key_ok k -> represents m l ->
    represents (hamt_assoc k v m) (list_assoc levels k v l).
  Proof.
    intros Hk R. pose proof (hamt_find_represents m l k R) as Ef. destruct R as (W & E & Hs & O).
    destruct (node_assoc_items levels _ (root m) k v ltac:(unfold levels; lia) agree_top Hk W) as [W' E'].
    split; [exact W'|]. split; [|split].
    - unfold hamt_items. cbn [root hamt_assoc]. rewrite E'. unfold hamt_items in E. rewrite E. reflexivity.
    - cbn [size hamt_assoc]. rewrite Ef, assoc_length, Hs. destruct (list_find k l); lia.
    - apply ordered_assoc, O.
  Qed.

  Theorem hamt_without_represents m l k : key_ok k -> represents m l ->
    represents (hamt_without k m) (list_without k l).
  Proof.
    intros Hk R. pose proof R as (W & E & Hs & O). unfold hamt_items in E.
    pose proof (node_without_items levels _ (root m) k ltac:(unfold levels; lia) agree_top Hk W) as Wo.
    unfold without_ok in Wo. rewrite E in Wo. unfold hamt_without.
    destruct (node_without levels k (root m)) as [| |t].
    - rewrite without_absent by exact Wo. exact R.
    - destruct Wo as [_ ->]. apply hamt_empty_represents.
    - destruct Wo as (Hf & _ & _ & Wt). destruct Wt as [Wt Et]; [unfold levels; lia|].
      split; [exact Wt|]. split; [exact Et|]. split; [|apply ordered_without, O].
      cbn [size]. rewrite Hs. pose proof (without_length k l Hf). lia.
  Qed.

  Theorem hamt_represents_ok m l : represents m l -> hamt_ok m.
  Proof. intros R. pose proof R as (_ & E & _). unfold hamt_ok. rewrite E. exact R. Qed.

  (** ** In words of the trie alone *)

  Theorem hamt_empty_ok : hamt_ok hamt_empty.
  Proof. exact hamt_empty_represents. Qed.

  Theorem hamt_assoc_ok m k v : key_ok k -> hamt_ok m -> hamt_ok (hamt_assoc k v m).
  Proof. intros Hk H. eapply hamt_represents_ok, hamt_assoc_represents; eassumption. Qed.

  Theorem hamt_without_ok m k : key_ok k -> hamt_ok m -> hamt_ok (hamt_without k m).
  Proof. intros Hk H. eapply hamt_represents_ok, hamt_without_represents; eassumption. Qed.

  Theorem hamt_find_empty k : hamt_find k (@hamt_empty V) = None.
  Proof. reflexivity. Qed.

  Theorem hamt_find_assoc m k v k' : key_ok k -> hamt_ok m ->
    hamt_find k' (hamt_assoc k v m) = if key_eqb k' k then Some v else hamt_find k' m.
  Proof.
    intros Hk H. rewrite (hamt_find_represents _ _ k' (hamt_assoc_represents _ _ k v Hk H)), find_assoc.
    rewrite <- (hamt_find_represents _ _ k' H). reflexivity.
  Qed.

  Theorem hamt_find_without m k k' : key_ok k -> hamt_ok m ->
    hamt_find k' (hamt_without k m) = if key_eqb k' k then None else hamt_find k' m.
  Proof.
    intros Hk H. rewrite (hamt_find_represents _ _ k' (hamt_without_represents _ _ k Hk H)).
    rewrite (find_without levels) by apply H. rewrite <- (hamt_find_represents _ _ k' H). reflexivity.
  Qed.

  (** The iteration enumerates exactly the map, every key once. *)
  Theorem hamt_items_exact m k v : hamt_ok m -> (k, v) ∈ hamt_items m <-> hamt_find k m = Some v.
  Proof.
    intros H. rewrite (hamt_find_represents _ _ k H). apply (items_find levels). apply H.
  Qed.

  Theorem hamt_items_once m : hamt_ok m -> NoDup (keys (hamt_items m)).
  Proof. intros (_ & _ & _ & U & _). exact U. Qed.

  (** By ascending place: bits 0 to 4 of the hash, then 5 to 9, and so on (ORDER-1). *)
  Theorem hamt_items_order m : hamt_ok m ->
    StronglySorted (fun y z => place levels (key_hash y.1) <= place levels (key_hash z.1)) (hamt_items m).
  Proof. intros (_ & _ & _ & _ & S). exact S. Qed.

  (** Equal hashes by insertion: a new key goes behind its equals (ORDER-2). *)
  Theorem hamt_items_new m k v : key_ok k -> hamt_ok m -> hamt_find k m = None ->
    exists l1 l2, hamt_items m = l1 ++ l2 /\ hamt_items (hamt_assoc k v m) = l1 ++ (k, v) :: l2 /\
      Forall (fun z => place levels (key_hash z.1) <= place levels (key_hash k)) l1 /\
      Forall (fun z => place levels (key_hash k) < place levels (key_hash z.1)) l2.
  Proof.
    intros Hk H Hf. destruct (hamt_assoc_represents _ _ k v Hk H) as (_ & E & _ & _).
    rewrite (hamt_find_represents _ _ k H) in Hf. rewrite E. unfold list_assoc. rewrite Hf.
    apply (insert_where levels k v). apply H.
  Qed.

  (** A bound key keeps its place (ORDER-2). *)
  Theorem hamt_items_bound m k v : key_ok k -> hamt_ok m -> hamt_find k m <> None ->
    keys (hamt_items (hamt_assoc k v m)) = keys (hamt_items m).
  Proof.
    intros Hk H Hf. destruct (hamt_assoc_represents _ _ k v Hk H) as (_ & E & _ & _).
    rewrite (hamt_find_represents _ _ k H) in Hf. rewrite E. unfold list_assoc.
    destruct (list_find k (hamt_items m)); [apply keys_replace | congruence].
  Qed.

  (** An unbound key leaves the others' order alone; bound again it is new (ORDER-2). *)
  Theorem hamt_items_without m k : key_ok k -> hamt_ok m ->
    hamt_items (hamt_without k m) = list_without k (hamt_items m).
  Proof. intros Hk H. apply (hamt_without_represents _ _ k Hk H). Qed.

  Theorem hamt_count m : hamt_ok m -> size m = N.of_nat (length (hamt_items m)).
  Proof. intros (_ & _ & S & _). exact S. Qed.
End map.

(** ** Depth *)

Section depth.
  Context {V : Type}.

  (** The nodes on the longest way down; a pair is part of its parent. *)
  Inductive deep : nat -> node V -> Prop :=
  | DeepLeaf n k v : deep n (Leaf k v)
  | DeepCollision n h pairs : deep (S n) (Collision h pairs)
  | DeepBranch n shape l : Forall (fun s => deep n s.2) l -> deep (S n) (Branch shape l).

  Lemma wf_deep n : forall P t, wf n P t -> deep n t.
  Proof.
    induction n as [|n IH]; [intros ? ? []|]. intros P [k v | shape l | h pairs]; [intros [] | | constructor].
    intros (_ & _ & _ & F)%wf_branch. constructor. eapply Forall_impl; [exact F|].
    intros [c x] [_ Hx]. cbn in *. destruct x; [constructor | eapply IH, Hx | eapply IH, Hx].
  Qed.

  (** Eight levels at most ([_Py_HAMT_MAX_TREE_DEPTH]), and at the eighth collision nodes only. *)
  Theorem hamt_depth (m : hamt V) : hamt_ok m -> deep 8 (root m).
  Proof. intros (W & _). eapply wf_deep, W. Qed.
End depth.
