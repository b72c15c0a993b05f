(** Equality of contexts decides equality of what they bind; and what is skipped changes nothing. *)
From stdpp Require Import base numbers gmap strings list.
From Coq Require Import Lia.
From Contextvars Require Import Words Bindings State Text Equality Life Machine.
From ContextvarsProofs Require Import Places Lists FiniteMap Laws.
Local Open Scope N_scope.

Section comparison.
  Context {M : Type} `{Lawful M}.
  Implicit Types (a b : M) (k : key).

  Lemma value_eqb_refl v : value_eqb v v = true.
  Proof. destruct v; cbn; [reflexivity | reflexivity | apply N.eqb_refl]. Qed.

  (** EQ-4: a value is equal to itself, whatever its [==] answers. *)
  Theorem identical_equal vs v : identical_or_equal vs v v = inl true.
  Proof. unfold identical_or_equal. rewrite value_eqb_refl. reflexivity. Qed.

  (** EQ-3, EQ-6: true means that every binding on the left has an equal one on the right. *)
  Lemma equal_items_true vs l b : equal_items vs l b = inl true <->
    Forall (fun z : key * value => exists w, find z.1 b = Some w /\ identical_or_equal vs z.2 w = inl true) l.
  Proof.
    induction l as [|[k v] l IH]; cbn [equal_items]; [split; [constructor | reflexivity]|].
    rewrite Forall_cons, <- IH. cbn [fst snd]. destruct (find k b) as [w|].
    - destruct (identical_or_equal vs v w) as [[|]|] eqn:E.
      + split; [eauto | tauto].
      + split; [discriminate | intros [(w' & [= <-] & E') _]; congruence].
      + split; [discriminate | intros [(w' & [= <-] & E') _]; congruence].
    - split; [discriminate | intros [(w' & E & _) _]; discriminate].
  Qed.

  (** EQ-1: a map is equal to itself without a comparison of values. *)
  Theorem equal_maps_same vs a : good a -> equal_maps vs a a = inl true.
  Proof.
    intros G. unfold equal_maps. rewrite N.eqb_refl. apply equal_items_true. apply Forall_forall. intros [k v] Hin.
    exists v. split; [|apply identical_equal]. cbn. rewrite find_items by exact G.
    apply (items_find 8); [apply items_ordered, G | exact Hin].
  Qed.

  (** EQ-2: maps of different sizes are unequal without a comparison. *)
  Theorem equal_maps_sizes vs a b : count a <> count b -> equal_maps vs a b = inl false.
  Proof. intros Hn. unfold equal_maps. destruct (N.eqb_spec (count a) (count b)); [contradiction | reflexivity]. Qed.

  (** EQ-3 to EQ-6: contexts are equal if and only if they bind the same variables to values that are
      identical or equal. *)
  Theorem equal_maps_true vs a b : good a -> good b ->
    equal_maps vs a b = inl true <->
    forall k, match find k a, find k b with
              | Some v, Some w => identical_or_equal vs v w = inl true
              | None, None => True
              | _, _ => False
              end.
  Proof.
    intros Ga Gb. unfold equal_maps. rewrite !count_items by assumption.
    pose proof (items_ordered a Ga) as [Ua _]. pose proof (items_ordered b Gb) as [Ub _].
    assert (forall m k, good m -> k ∈ keys (items m) <-> find k m <> None) as K.
    { intros m k G. rewrite find_items by exact G. pose proof (find_none_keys k (items m)) as F.
      destruct (SortedList.list_find k (items m)) as [v|] eqn:E.
      - split; [discriminate|]. intros _. apply elem_of_list_fmap. exists (k, v). split; [reflexivity | apply find_some_in, E].
      - split; [intros E'; destruct (proj1 F eq_refl E') | congruence]. }
    assert (forall m, length (items m) = length (keys (items m))) as Len by (intros; unfold keys; rewrite map_length; reflexivity).
    split.
    - destruct (N.eqb_spec (N.of_nat (length (items a))) (N.of_nat (length (items b)))) as [E|]; [|discriminate].
      intros T k. apply equal_items_true in T. rewrite Forall_forall in T.
      assert (forall k, k ∈ keys (items a) -> k ∈ keys (items b)) as Sub.
      { intros j Hj. unfold keys in Hj. apply elem_of_list_fmap in Hj as ([j' v] & -> & Hin).
        destruct (T _ Hin) as (w & Hw & _). apply K; [exact Gb|]. cbn in *. rewrite Hw. discriminate. }
      assert (forall k, k ∈ keys (items b) -> k ∈ keys (items a)) as Sup.
      { assert (keys (items a) ≡ₚ keys (items b)) as P.
        { apply submseteq_Permutation_length_le; [rewrite <- !Len; lia | apply NoDup_submseteq; assumption]. }
        intros j. rewrite P. trivial. }
      destruct (find k a) as [v|] eqn:Ea.
      + assert ((k, v) ∈ items a) as Hin by (apply (items_find 8); [apply items_ordered, Ga | rewrite <- find_items by exact Ga; exact Ea]).
        destruct (T _ Hin) as (w & Hw & Hvw). cbn in Hw, Hvw. rewrite Hw. exact Hvw.
      + destruct (find k b) eqn:Eb; [|exact I]. assert (k ∈ keys (items a)) as Hin by (apply Sup, K; congruence).
        apply K in Hin; congruence.
    - intros A.
      assert (keys (items a) ≡ₚ keys (items b)) as P.
      { apply NoDup_Permutation; [assumption | assumption |]. intros k. rewrite (K a k Ga), (K b k Gb). specialize (A k).
        destruct (find k a), (find k b); split; congruence || tauto. }
      rewrite !Len, P, N.eqb_refl. apply equal_items_true, Forall_forall. intros [k v] Hin.
      apply (items_find 8) in Hin; [|apply items_ordered, Ga]. rewrite <- find_items in Hin by exact Ga.
      specialize (A k). rewrite Hin in A. cbn. destruct (find k b) as [w|]; [eauto | destruct A].
  Qed.

  (** EQ-7. *)
  Theorem not_equal_negates th x y (s : state M) :
    operate false th (OpNotEqual x y) s =
    (s, match (operate false th (OpEqual x y) s).2 with Bool r => Bool (negb r) | other => other end).
  Proof.
    cbn. unfold compare. cbn. destruct (is_bound s x && is_bound s y); [|reflexivity].
    destruct (equal s x y); reflexivity.
  Qed.

  (** GET-1 to GET-4: what get answers. *)
  Theorem get_answers th v given x (s : state M) : held_variable s v = Some x ->
    (get false th v given s).2 =
      match lookup_map (thread_of s th) v x s, given, var_default x with
      | Some b, _, _ | None, Some b, _ | None, None, Some b => AnObject (object_of b)
      | None, None, None => Error (LookupError v)
      end.
  Proof.
    intros Hx. unfold get, lookup. rewrite Hx. cbn [andb].
    destruct (lookup_map (thread_of s th) v x s); [reflexivity|]. destruct given, (var_default x); reflexivity.
  Qed.

  (** WATCH-2, WATCH-3: a watcher gets the lowest free number, and the others keep theirs. *)
  Theorem take_slot_lowest w slots :
    match take_slot w slots with
    | Some (after, n) =>
        slots !! N.to_nat n = Some None /\ after = <[N.to_nat n := Some w]> slots /\
        forall m, (m < N.to_nat n)%nat -> exists v, slots !! m = Some (Some v)
    | None => Forall (fun slot => slot <> None) slots
    end.
  Proof.
    induction slots as [|[v|] slots IH]; cbn [take_slot].
    - constructor.
    - destruct (take_slot w slots) as [[after n]|].
      + destruct IH as (A & -> & C). replace (N.to_nat (n + 1)) with (S (N.to_nat n)) by lia. repeat split.
        * exact A.
        * intros [|m] Hm; [exists v; reflexivity | apply C; lia].
      + constructor; [discriminate | exact IH].
    - repeat split. intros m Hm. change (N.to_nat 0) with O in Hm. lia.
  Qed.
End comparison.
