(** The machine over one map answers as the machine over another that the first represents; and so
    the machine over the trie as the machine over the plain list. *)
From stdpp Require Import base numbers gmap strings list.
From Coq Require Import Lia.
From Contextvars Require Import Words Bindings SortedList Hamt State Text Equality Life Machine.
From ContextvarsProofs Require Import Places Lists FiniteMap HamtMap Laws.
Local Open Scope N_scope.

(** A map of type [M] that stands for one of type [M']. *)
Class Represents (M M' : Type) `{Bindings M} `{Bindings M'} := {
  ok : M -> Prop;
  view_of : M -> M';
  ok_empty : ok empty_map;
  view_empty : view_of empty_map = empty_map;
  view_find m k : ok m -> find k (view_of m) = find k m;
  ok_assoc m k v : key_ok k -> ok m -> ok (assoc k v m);
  view_assoc m k v : key_ok k -> ok m -> view_of (assoc k v m) = assoc k v (view_of m);
  ok_without m k : key_ok k -> ok m -> ok (without k m);
  view_without m k : key_ok k -> ok m -> view_of (without k m) = without k (view_of m);
  view_count m : ok m -> count (view_of m) = count m;
  view_items m : ok m -> items (view_of m) = items m;
}.

Section refinement.
  Context {M M' : Type} `{R : Represents M M'}.
  Context (through_cache : bool).

  Definition abs_context (x : context M) : context M' :=
    MkContext (view_of (ctx_map x)) (ctx_entered x) (ctx_name x).

  Definition abs (s : state M) : state M' :=
    MkState (values s) (variables s) (tokens s) (abs_context <$> contexts s) (next_context s)
      (names s) (iterators s) (references s) (threads s) (watchers s) (events s).

  Definition maps_ok (s : state M) : Prop := forall c, ok (ctx_map (context_of s c)).

  Implicit Types (s : state M) (c : N).

  Lemma abs_new : abs_context new_context = new_context.
  Proof. unfold abs_context. cbn. rewrite view_empty. reflexivity. Qed.

  Lemma abs_context_of s c : context_of (abs s) c = abs_context (context_of s c).
  Proof.
    unfold context_of. cbn [abs contexts]. rewrite lookup_fmap.
    destruct (contexts s !! c); cbn; [reflexivity | symmetry; apply abs_new].
  Qed.

  Lemma abs_put s c x : put_context c (abs_context x) (abs s) = abs (put_context c x s).
  Proof. unfold put_context, set_contexts, abs. cbn. rewrite fmap_insert. reflexivity. Qed.

  Lemma abs_put' s c x x' : x' = abs_context x -> put_context c x' (abs s) = abs (put_context c x s).
  Proof. intros ->. apply abs_put. Qed.

  Lemma ok_put s c x : maps_ok s -> ok (ctx_map x) -> maps_ok (put_context c x s).
  Proof.
    intros Hs Hx d. specialize (Hs d). revert Hs. unfold context_of. cbn.
    destruct (decide (c = d)) as [-> | Hne]; [rewrite lookup_insert | rewrite lookup_insert_ne by exact Hne]; auto.
  Qed.

  Lemma ok_same s s' : contexts s' = contexts s -> maps_ok s -> maps_ok s'.
  Proof. intros E Hs c. unfold context_of. rewrite E. apply Hs. Qed.

  (** A function on states commutes with the view, and keeps the maps well. *)
  Definition commutes {A} (f : state M' -> state M' * A) (g : state M -> state M * A) s : Prop :=
    f (abs s) = (abs (g s).1, (g s).2) /\ maps_ok (g s).1.
  Definition commutes_state (f : state M' -> state M') (g : state M -> state M) s : Prop :=
    f (abs s) = abs (g s) /\ maps_ok (g s).

  Lemma commutes_pure {A} (a : state M' -> A) (b : state M -> A) s :
    maps_ok s -> a (abs s) = b s -> commutes (fun z => (z, a z)) (fun z => (z, b z)) s.
  Proof. intros Hs E. split; [rewrite E; reflexivity | exact Hs]. Qed.

  Lemma commutes_then {A} (f : state M' -> state M') g (f' : state M' -> state M' * A) g' s :
    commutes_state f g s -> commutes f' g' (g s) -> commutes (fun z => f' (f z)) (fun z => g' (g z)) s.
  Proof. intros [E _] [E' H']. split; [rewrite E, E'; reflexivity | exact H']. Qed.

  Ltac same := eapply ok_same; [reflexivity | assumption].

  (** ** The parts *)

  Lemma c_put c (x : context M) s : maps_ok s -> ok (ctx_map x) ->
    commutes_state (put_context c (abs_context x)) (put_context c x) s.
  Proof. intros Hs Hx. split; [apply abs_put | apply ok_put; assumption]. Qed.

  Lemma c_add_context x s : maps_ok s -> ok (ctx_map x) ->
    commutes_state (add_context (abs_context x)) (add_context x) s.
  Proof.
    intros Hs Hx. split.
    - unfold add_context. change (next_context (abs s)) with (next_context s). rewrite abs_put. reflexivity.
    - eapply ok_same; [|apply ok_put; eassumption]. reflexivity.
  Qed.

  Lemma c_name_context name m s : maps_ok s -> ok m ->
    commutes_state (name_context name (view_of m)) (name_context name m) s.
  Proof.
    intros Hs Hm. destruct (c_add_context (MkContext m false (Some name)) s Hs Hm) as [E H']. split.
    - unfold name_context. change (next_context (abs s)) with (next_context s).
      change (MkContext (view_of m) false (Some name)) with (abs_context (MkContext m false (Some name))).
      rewrite E. reflexivity.
    - eapply ok_same; [|exact H']. reflexivity.
  Qed.

  Lemma c_current_or_base th s : maps_ok s -> commutes (current_or_base th) (current_or_base th) s.
  Proof.
    intros Hs. unfold commutes, current_or_base. change (thread_of (abs s) th) with (thread_of s th).
    destruct (current (thread_of s th)); [split; [reflexivity | exact Hs]|].
    rewrite <- abs_new. destruct (c_add_context new_context s Hs ok_empty) as [E H']. rewrite E.
    split; [reflexivity|]. eapply ok_same; [|exact H']. reflexivity.
  Qed.

  Lemma c_set_map c m s : maps_ok s -> ok m -> commutes_state (set_map c (view_of m)) (set_map c m) s.
  Proof.
    intros Hs Hm. unfold commutes_state, set_map. rewrite abs_context_of.
    split; [apply abs_put'; reflexivity | apply ok_put; assumption].
  Qed.

  Lemma c_set_cache v x s : maps_ok s -> commutes_state (set_cache v x) (set_cache v x) s.
  Proof.
    intros Hs. unfold commutes_state, set_cache. cbn [abs variables].
    destruct (variables s !! v); (split; [reflexivity | same]).
  Qed.

  Lemma c_fill_cache th v b s : maps_ok s -> commutes_state (fill_cache th v b) (fill_cache th v b) s.
  Proof. intros Hs. apply c_set_cache, Hs. Qed.

  Lemma c_copy c name s : maps_ok s -> commutes_state (copy c name) (copy c name) s.
  Proof.
    intros Hs. unfold commutes_state, copy. rewrite abs_context_of. apply c_name_context; [exact Hs | apply Hs].
  Qed.

  Lemma c_copy_current th name s : maps_ok s -> commutes_state (copy_current th name) (copy_current th name) s.
  Proof.
    intros Hs. destruct (c_current_or_base th s Hs) as [E H']. unfold commutes_state, copy_current. rewrite E.
    destruct (current_or_base th s) as [s' c]. cbn in *. apply c_copy, H'.
  Qed.

  Lemma c_new_variable name hash d v s : maps_ok s ->
    commutes (new_variable name hash d v) (new_variable name hash d v) s.
  Proof.
    intros Hs. unfold commutes, new_variable. cbn [abs variables].
    destruct (variables s !! v); (split; [reflexivity | same]).
  Qed.

  Lemma abs_lookup th v x s : maps_ok s ->
    lookup through_cache th v x (abs s) = lookup through_cache th v x s.
  Proof.
    intros Hs. unfold lookup. change (thread_of (abs s) th) with (thread_of s th).
    assert (lookup_map (thread_of s th) v x (abs s) = lookup_map (thread_of s th) v x s) as E.
    { unfold lookup_map. destruct (current (thread_of s th)); [|reflexivity].
      rewrite abs_context_of. apply view_find, Hs. }
    rewrite E. reflexivity.
  Qed.

  Lemma c_get th v d s : maps_ok s -> commutes (get through_cache th v d) (get through_cache th v d) s.
  Proof.
    intros Hs. unfold commutes, get. change (held_variable (abs s) v) with (held_variable s v).
    destruct (held_variable s v) as [x|]; [|split; [reflexivity | exact Hs]].
    rewrite abs_lookup by exact Hs. destruct (lookup through_cache th v x s) as [b|].
    - destruct (c_fill_cache th v b s Hs) as [E H']. rewrite E. split; [reflexivity | exact H'].
    - split; [reflexivity | exact Hs].
  Qed.

  Lemma c_bind th c v x b s : maps_ok s -> commutes_state (bind th c v x b) (bind th c v x b) s.
  Proof.
    intros Hs. unfold commutes_state, bind. rewrite abs_context_of. cbn [abs_context ctx_map].
    rewrite <- view_assoc by (apply key_of_ok || apply Hs).
    destruct (c_set_map c (assoc (key_of v x) b (ctx_map (context_of s c))) s Hs) as [E H'];
      [apply ok_assoc; [apply key_of_ok | apply Hs]|].
    rewrite E. apply c_fill_cache, H'.
  Qed.

  Lemma c_unbind c v x s : maps_ok s -> commutes_state (unbind c v x) (unbind c v x) s.
  Proof.
    intros Hs. unfold commutes_state, unbind. rewrite abs_context_of. cbn [abs_context ctx_map].
    rewrite <- view_without by (apply key_of_ok || apply Hs).
    destruct (c_set_map c (without (key_of v x) (ctx_map (context_of s c))) s Hs) as [E H'];
      [apply ok_without; [apply key_of_ok | apply Hs]|].
    rewrite E. apply c_set_cache, H'.
  Qed.

  Lemma abs_find s c k : maps_ok s ->
    find k (ctx_map (context_of (abs s) c)) = find k (ctx_map (context_of s c)).
  Proof. intros Hs. rewrite abs_context_of. apply view_find, Hs. Qed.

  Lemma c_set th v b t s : maps_ok s -> commutes (set th v b t) (set th v b t) s.
  Proof.
    intros Hs. unfold commutes, set. change (held_variable (abs s) v) with (held_variable s v).
    change (is_bound (abs s) (object_of b)) with (is_bound s (object_of b)).
    change (tokens (abs s)) with (tokens s).
    destruct (held_variable s v) as [x|]; [|split; [reflexivity | exact Hs]].
    match goal with |- context [?a || ?b] => destruct (a || b) end; [split; [reflexivity | exact Hs]|].
    destruct (c_current_or_base th s Hs) as [E H']. rewrite E. destruct (current_or_base th s) as [s' c]. cbn in H' |- *.
    rewrite abs_find by exact H'.
    set (tok := MkToken _ _ _ _ _).
    change (set_tokens (insert t tok) (abs s')) with (abs (set_tokens (insert t tok) s')).
    destruct (c_bind th c v x b (set_tokens (insert t tok) s')) as [E2 H2]; [same|].
    rewrite E2. split; [reflexivity | exact H2].
  Qed.

  Lemma c_reset th v id t s : maps_ok s -> commutes (reset th v id t) (reset th v id t) s.
  Proof.
    intros Hs. unfold commutes, reset. destruct (tok_used t); [split; [reflexivity | exact Hs]|].
    destruct (negb (tok_variable t =? v)); [split; [reflexivity | exact Hs]|].
    destruct (c_current_or_base th s Hs) as [E H']. rewrite E. destruct (current_or_base th s) as [s' c]. cbn in H' |- *.
    destruct (negb (tok_context t =? c)); [split; [reflexivity | exact H']|].
    change (variables (abs s')) with (variables s').
    destruct (variables s' !! v) as [x|]; [|split; [reflexivity | exact H']].
    change (use id t (abs s')) with (abs (use id t s')).
    assert (maps_ok (use id t s')) as Hu by same. destruct (tok_old t) as [old|].
    - destruct (c_bind th c v x old (use id t s') Hu) as [E2 H2]. rewrite E2. split; [reflexivity | exact H2].
    - rewrite abs_find by exact Hu. match goal with |- context [present ?o] => destruct (present o) end; [|split; [reflexivity | exact Hu]].
      destruct (c_unbind c v x (use id t s') Hu) as [E2 H2]. rewrite E2. split; [reflexivity | exact H2].
  Qed.

  Lemma abs_bound s o : is_bound (abs s) o = is_bound s o.
  Proof. reflexivity. Qed.

  Lemma c_refuse o e s : maps_ok s -> commutes (refuse o e) (refuse o e) s.
  Proof. intros Hs. split; [reflexivity | exact Hs]. Qed.

  Lemma c_on_token id f g s : maps_ok s -> (forall t, commutes (f t) (g t) s) ->
    commutes (on_token id f) (on_token id g) s.
  Proof.
    intros Hs Hf. unfold commutes, on_token. change (held_token (abs s) id) with (held_token s id).
    destruct (held_token s id); [apply Hf | split; [reflexivity | exact Hs]].
  Qed.

  Lemma c_on_context name f g s : maps_ok s -> (forall c, commutes (f c) (g c) s) ->
    commutes (on_context name f) (on_context name g) s.
  Proof.
    intros Hs Hf. unfold commutes, on_context. change (names (abs s)) with (names s).
    destruct (names s !! name); [apply Hf | split; [reflexivity | exact Hs]].
  Qed.

  Lemma c_reset_any th v o s : maps_ok s -> commutes (reset_any th v o) (reset_any th v o) s.
  Proof.
    intros Hs. unfold commutes, reset_any. change (held_variable (abs s) v) with (held_variable s v).
    destruct (held_variable s v); [|split; [reflexivity | exact Hs]].
    destruct o; try (apply c_refuse, Hs). change (held_token (abs s) id) with (held_token s id).
    destruct (held_token s id); [apply c_reset, Hs | split; [reflexivity | exact Hs]].
  Qed.

  Lemma c_tell x s : maps_ok s -> commutes_state (tell x) (tell x) s.
  Proof.
    intros Hs. split; [|same]. unfold tell. change (watchers (abs s)) with (watchers s).
    destruct x as [c|]; [rewrite abs_context_of|]; reflexivity.
  Qed.

  Lemma c_switch th stack s : maps_ok s -> commutes_state (switch th stack) (switch th stack) s.
  Proof.
    intros Hs. unfold commutes_state, switch. change (thread_of (abs s) th) with (thread_of s th).
    set (t := MkThread _ _ _ _ _ _). change (put_thread th t (abs s)) with (abs (put_thread th t s)).
    apply c_tell. same.
  Qed.

  Lemma c_set_entered c b s : maps_ok s -> commutes_state (set_entered c b) (set_entered c b) s.
  Proof.
    intros Hs. unfold commutes_state, set_entered. rewrite abs_context_of.
    split; [apply abs_put'; reflexivity | apply ok_put; [exact Hs | apply Hs]].
  Qed.

  Lemma c_enter th c name s : maps_ok s -> commutes (enter th c name) (enter th c name) s.
  Proof.
    intros Hs. unfold commutes, enter. rewrite abs_context_of. cbn [abs_context ctx_entered].
    destruct (ctx_entered (context_of s c)); [split; [reflexivity | exact Hs]|].
    change (thread_of (abs s) th) with (thread_of s th).
    destruct (c_set_entered c true s Hs) as [E H']. rewrite E.
    destruct (c_switch th (c :: th_stack (thread_of s th)) _ H') as [E2 H2]. rewrite E2.
    split; [reflexivity | exact H2].
  Qed.

  Lemma c_exit th c name s : maps_ok s -> commutes (exit th c name) (exit th c name) s.
  Proof.
    intros Hs. unfold commutes, exit. rewrite abs_context_of. cbn [abs_context ctx_entered].
    change (thread_of (abs s) th) with (thread_of s th).
    destruct (negb (ctx_entered (context_of s c))); [split; [reflexivity | exact Hs]|].
    destruct (negb (is_current c (thread_of s th))); [split; [reflexivity | exact Hs]|].
    destruct (c_set_entered c false s Hs) as [E H']. rewrite E.
    destruct (c_switch th (tail (th_stack (thread_of s th))) _ H') as [E2 H2]. rewrite E2.
    split; [reflexivity | exact H2].
  Qed.

  Lemma c_answer f g s : commutes f g s -> commutes (fun z => answer (f z)) (fun z => answer (g z)) s.
  Proof.
    intros [E H']. unfold commutes. rewrite E. destruct (g s) as [s' [e|]]; (split; [reflexivity | exact H']).
  Qed.

  Lemma c_run_begin th name s : maps_ok s -> commutes (run_begin th name) (run_begin th name) s.
  Proof.
    intros Hs. unfold commutes, run_begin. change (names (abs s)) with (names s).
    destruct (names s !! name) as [c|]; [|split; [reflexivity | exact Hs]].
    destruct (c_enter th c name s Hs) as [E H']. rewrite E.
    destruct (enter th c name s) as [s' [e|]]; (split; [reflexivity | same]).
  Qed.

  Lemma c_run_end th r s : maps_ok s -> commutes (run_end th r) (run_end th r) s.
  Proof.
    intros Hs. unfold commutes, run_end. change (thread_of (abs s) th) with (thread_of s th).
    destruct (th_frames (thread_of s th)) as [|[c name] frames]; [split; [reflexivity | exact Hs]|].
    change (set_frames th frames (abs s)) with (abs (set_frames th frames s)).
    destruct (c_exit th c name (set_frames th frames s)) as [E H']; [same|]. rewrite E.
    destruct (exit th c name (set_frames th frames s)) as [s' [e|]]; (split; [reflexivity | exact H']).
  Qed.

  Lemma c_unwind frames th : forall s, maps_ok s -> commutes_state (unwind frames th) (unwind frames th) s.
  Proof.
    induction frames as [|f frames IH]; intros s Hs; [split; [reflexivity | exact Hs]|].
    destruct (c_run_end th Done s Hs) as [E H']. destruct (IH _ H') as [E2 H2].
    split; [cbn [unwind]; rewrite E; exact E2 | exact H2].
  Qed.

  Lemma c_end_thread th s : maps_ok s -> commutes (end_thread th) (end_thread th) s.
  Proof.
    intros Hs. destruct (c_unwind (th_frames (thread_of s th)) th s Hs) as [E H']. unfold commutes, end_thread.
    change (thread_of (abs s) th) with (thread_of s th). rewrite E. split; [reflexivity | same].
  Qed.

  Lemma c_has_current th s : maps_ok s -> commutes (has_current th) (has_current th) s.
  Proof.
    intros Hs. unfold commutes, has_current. change (thread_of (abs s) th) with (thread_of s th).
    rewrite <- abs_new. destruct (c_add_context new_context s Hs ok_empty) as [E H']. rewrite E.
    change (next_context (abs s)) with (next_context s).
    destruct (c_switch th (next_context s :: th_stack (thread_of s th)) _ H') as [E2 H2]. rewrite E2.
    destruct (c_switch th (th_stack (thread_of s th)) _ H2) as [E3 H3]. rewrite E3.
    split; [reflexivity | exact H3].
  Qed.

  Lemma c_look_up name k found s : maps_ok s -> commutes (look_up name k found) (look_up name k found) s.
  Proof.
    intros Hs. unfold commutes, look_up. change (names (abs s)) with (names s).
    destruct (names s !! name) as [c|]; [|split; [reflexivity | exact Hs]].
    destruct k; try (apply c_refuse, Hs). change (held_variable (abs s) id) with (held_variable s id).
    destruct (held_variable s id) as [x|]; [rewrite abs_find by exact Hs|]; (split; [reflexivity | exact Hs]).
  Qed.

  Lemma c_iterate name i w s : maps_ok s -> commutes (iterate name i w) (iterate name i w) s.
  Proof.
    intros Hs. unfold commutes, iterate. change (names (abs s)) with (names s).
    change (iterators (abs s)) with (iterators s).
    destruct (names s !! name) as [c|]; [|split; [reflexivity | exact Hs]].
    destruct (iterators s !! i); [split; [reflexivity | exact Hs]|].
    rewrite abs_context_of. cbn [abs_context ctx_map]. rewrite view_items, view_count by apply Hs.
    split; [reflexivity | same].
  Qed.

  Lemma c_next i s : maps_ok s -> commutes (next i) (next i) s.
  Proof.
    intros Hs. unfold commutes, next. change (held_iterator (abs s) i) with (held_iterator s i).
    destruct (held_iterator s i) as [it|]; [|split; [reflexivity | exact Hs]].
    destruct (it_left it) as [|[k b] rest]; (split; [reflexivity | same]).
  Qed.

  Lemma abs_named_map s name : maps_ok s ->
    ok (named_map s name) /\ named_map (abs s) name = view_of (named_map s name).
  Proof.
    intros Hs. unfold named_map. change (names (abs s)) with (names s). destruct (names s !! name) as [c|].
    - rewrite abs_context_of. split; [apply Hs | reflexivity].
    - split; [apply ok_empty | symmetry; apply view_empty].
  Qed.

  Lemma view_equal_items vs l m : ok m -> equal_items vs l (view_of m) = equal_items vs l m.
  Proof.
    intros Hm. induction l as [|[k v] l IH]; cbn; [reflexivity|]. rewrite view_find by exact Hm.
    destruct (find k m); [|reflexivity]. destruct (identical_or_equal vs v v0) as [[|]|]; auto.
  Qed.

  Lemma abs_equal s x y : maps_ok s -> equal (abs s) x y = equal s x y.
  Proof.
    intros Hs. unfold equal. change (values (abs s)) with (values s).
    destruct x; try reflexivity. destruct y; try reflexivity. unfold equal_maps.
    destruct (abs_named_map s id Hs) as [O1 ->], (abs_named_map s id0 Hs) as [O2 ->].
    rewrite !view_count, view_items, view_equal_items by assumption. reflexivity.
  Qed.

  Lemma c_compare x y f s : maps_ok s -> commutes (compare x y f) (compare x y f) s.
  Proof.
    intros Hs. apply commutes_pure; [exact Hs|]. rewrite !abs_bound, abs_equal by exact Hs. reflexivity.
  Qed.

  Lemma c_hash o s : maps_ok s -> commutes (hash_object o) (hash_object o) s.
  Proof. intros Hs. split; [reflexivity | exact Hs]. Qed.

  Lemma c_drop o s : maps_ok s -> commutes (drop o) (drop o) s.
  Proof.
    intros Hs. unfold commutes, drop. rewrite abs_bound.
    destruct (negb (is_bound s o)); [split; [reflexivity | exact Hs]|].
    destruct o; try (split; [reflexivity | same]).
    change (names (abs s)) with (names s). destruct (names s !! id) as [c|]; [|split; [reflexivity | exact Hs]].
    rewrite abs_context_of. split.
    - rewrite (abs_put' s c (MkContext (ctx_map (context_of s c)) (ctx_entered (context_of s c)) None)) by reflexivity.
      reflexivity.
    - eapply ok_same; [reflexivity|]. apply (ok_put s c (MkContext (ctx_map (context_of s c)) _ None) Hs). apply Hs.
  Qed.

  Lemma c_weak_reference name r s : maps_ok s -> commutes (weak_reference name r) (weak_reference name r) s.
  Proof.
    intros Hs. unfold commutes, weak_reference. change (names (abs s)) with (names s).
    change (references (abs s)) with (references s).
    destruct (names s !! name); [destruct (references s !! r)|]; (split; [reflexivity | same]).
  Qed.

  Lemma abs_is_below s c stack : forall above, is_below (abs s) c stack above = is_below s c stack above.
  Proof.
    induction stack as [|d stack IH]; intros above; cbn [is_below]; [reflexivity|].
    change (is_root (abs s) d) with (is_root s d). rewrite IH. reflexivity.
  Qed.

  Lemma abs_is_alive s c : is_alive (abs s) c = is_alive s c.
  Proof.
    unfold is_alive. change (is_root (abs s) c) with (is_root s c). change (threads (abs s)) with (threads s).
    f_equal. induction (map_to_list (threads s)) as [|[th t] l IH]; cbn [existsb]; [reflexivity|].
    rewrite abs_is_below, IH. reflexivity.
  Qed.

  Lemma c_dereference r s : maps_ok s -> commutes (dereference r) (dereference r) s.
  Proof.
    intros Hs. apply commutes_pure; [exact Hs|]. change (references (abs s)) with (references s).
    destruct (references s !! r) as [[name c]|]; [rewrite abs_is_alive|]; reflexivity.
  Qed.

  Lemma c_add_watcher w s : maps_ok s -> commutes (add_watcher w) (add_watcher w) s.
  Proof.
    intros Hs. unfold commutes, add_watcher. change (watchers (abs s)) with (watchers s).
    destruct (take_slot w (watchers s)) as [[slots n]|]; (split; [reflexivity | same]).
  Qed.

  Lemma c_clear_watcher n id s : maps_ok s -> commutes (clear_watcher n id) (clear_watcher n id) s.
  Proof.
    intros Hs. unfold commutes, clear_watcher. change (watchers (abs s)) with (watchers s).
    destruct n as [n|]; [destruct (8 <=? n); [|destruct (watchers s !! N.to_nat n) as [[|]|]]|]; (split; [reflexivity | same]).
  Qed.

  Lemma c_run_at_once th name r s : maps_ok s -> commutes (run_at_once th name r) (run_at_once th name r) s.
  Proof.
    intros Hs. unfold commutes, run_at_once. change (names (abs s)) with (names s).
    destruct (names s !! name) as [c|]; [|split; [reflexivity | exact Hs]].
    destruct (c_enter th c name s Hs) as [E H']. rewrite E.
    destruct (enter th c name s) as [s' [e|]]; [split; [reflexivity | exact H']|]. cbn in H' |- *.
    destruct (c_exit th c name s' H') as [E2 H2]. rewrite E2.
    destruct (exit th c name s') as [s2 [e|]]; (split; [reflexivity | exact H2]).
  Qed.

  Lemma abs_surface a o s : maps_ok s -> surface a o (abs s) = surface a o s.
  Proof.
    intros Hs. destruct a, o; try reflexivity. cbn [surface].
    destruct (abs_named_map s id Hs) as [O ->]. rewrite view_count by exact O. reflexivity.
  Qed.

  Lemma c_attempt th a o s : maps_ok s -> commutes (attempt th a o) (attempt th a o) s.
  Proof.
    intros Hs. unfold commutes, attempt. rewrite abs_bound.
    destruct (negb (is_bound s o)); [split; [reflexivity | exact Hs]|].
    assert (commutes (fun z => (z, surface a o z)) (fun z => (z, surface a o z)) s) as Hsurface
      by (apply commutes_pure; [exact Hs | apply abs_surface, Hs]).
    destruct a, o; try exact Hsurface; apply c_run_at_once, Hs.
  Qed.

  (** ** Every operation *)

  Lemma c_done f g s : commutes_state f g s -> commutes (fun z => (f z, Done)) (fun z => (g z, Done)) s.
  Proof. intros [E H']. split; [rewrite E; reflexivity | exact H']. Qed.

  Ltac pure := intros; split; [reflexivity | assumption].

  Theorem operate_refines th op s : maps_ok s ->
    commutes (operate through_cache th op) (operate through_cache th op) s.
  Proof.
    intros Hs. destruct op; unfold operate; cbv beta iota.
    - unfold commutes. change (values (abs s)) with (values s).
      destruct (values s !! made); (split; [reflexivity | same]).
    - apply c_new_variable, Hs.
    - apply c_get, Hs.
    - apply c_set, Hs.
    - apply c_reset_any, Hs.
    - pure.
    - apply c_on_token; [exact Hs | pure].
    - apply c_on_token; [exact Hs | pure].
    - apply c_on_token; [exact Hs | pure].
    - apply c_on_token; [exact Hs | intros; apply c_reset, Hs].
    - rewrite <- view_empty. apply c_done, c_name_context; [exact Hs | apply ok_empty].
    - apply c_done, c_copy_current, Hs.
    - apply c_on_context; [exact Hs | intros; apply c_done, c_copy, Hs].
    - apply c_run_begin, Hs.
    - apply c_run_end, Hs.
    - apply c_run_end, Hs.
    - apply c_look_up, Hs.
    - apply c_look_up, Hs.
    - apply c_look_up, Hs.
    - apply c_on_context; [exact Hs|]. intros c. apply commutes_pure; [exact Hs|].
      rewrite abs_context_of. cbn [abs_context ctx_map]. rewrite view_count by apply Hs. reflexivity.
    - apply c_iterate, Hs.
    - apply c_iterate, Hs.
    - apply c_iterate, Hs.
    - apply c_iterate, Hs.
    - apply c_next, Hs.
    - pure.
    - apply c_compare, Hs.
    - apply c_compare, Hs.
    - pure.
    - apply c_hash, Hs.
    - apply c_attempt, Hs.
    - apply c_weak_reference, Hs.
    - apply c_dereference, Hs.
    - apply c_drop, Hs.
    - rewrite <- view_empty. apply c_done, c_name_context; [exact Hs | apply ok_empty].
    - destruct source; try (apply c_refuse, Hs).
      apply c_on_context; [exact Hs | intros; apply c_done, c_copy, Hs].
    - apply c_done, c_copy_current, Hs.
    - destruct context; try (apply c_refuse, Hs).
      apply c_on_context; [exact Hs | intros; apply c_answer, c_enter, Hs].
    - destruct context; try (apply c_refuse, Hs).
      apply c_on_context; [exact Hs | intros; apply c_answer, c_exit, Hs].
    - apply c_new_variable, Hs.
    - destruct variable; try (apply c_refuse, Hs).
      destruct (c_get th id given s Hs) as [E H']. unfold commutes. rewrite E.
      destruct (get through_cache th id given s) as [s' o]. cbn in H'.
      destruct o; try (split; [reflexivity | exact H']). destruct raised; (split; [reflexivity | exact H']).
    - destruct variable; try (apply c_refuse, Hs). apply c_set, Hs.
    - unfold commutes. rewrite !abs_bound.
      destruct (is_bound s variable && is_bound s token); [|split; [reflexivity | exact Hs]].
      destruct variable; try (apply c_refuse, Hs). destruct token; try (apply c_refuse, Hs).
      apply (c_on_token id0 (fun t z => reset th id id0 t z) (fun t z => reset th id id0 t z));
        [exact Hs | intros; apply c_reset, Hs].
    - apply c_add_watcher, Hs.
    - apply c_clear_watcher, Hs.
    - unfold commutes, start_thread. change (threads (abs s)) with (threads s).
      destruct (threads s !! made); (split; [reflexivity | same]).
    - apply c_end_thread, Hs.
    - pure.
    - pure.
    - split; [reflexivity | same].
    - apply c_has_current, Hs.
  Qed.

  Theorem carry_out_refines th op s : maps_ok s ->
    commutes (carry_out through_cache th op) (carry_out through_cache th op) s.
  Proof.
    intros Hs. unfold commutes, carry_out. change (is_bound (abs s)) with (is_bound s).
    destruct (forallb (is_bound s) (uses op)); [apply operate_refines, Hs | split; [reflexivity | exact Hs]].
  Qed.

  Theorem perform_refines p s : maps_ok s -> commutes (perform through_cache p) (perform through_cache p) s.
  Proof.
    intros Hs. unfold commutes, perform.
    change (set_events [] (abs s)) with (abs (set_events [] s)).
    change (threads (abs (set_events [] s))) with (threads (set_events [] s)).
    assert (maps_ok (set_events [] s)) as He by same.
    match goal with |- context [th_live ?t] => destruct (th_live t) end; [|split; [reflexivity | exact He]].
    destruct (carry_out_refines (step_thread p) (step_operation p) _ He) as [E H']. rewrite E.
    destruct (carry_out through_cache (step_thread p) (step_operation p) (set_events [] s)) as [s' o].
    split; [reflexivity | exact H'].
  Qed.

  Theorem perform_all_refines ps : forall s, maps_ok s ->
    commutes (perform_all through_cache ps) (perform_all through_cache ps) s.
  Proof.
    induction ps as [|p ps IH]; intros s Hs; [split; [reflexivity | exact Hs]|].
    destruct (perform_refines p s Hs) as [E H']. unfold commutes. cbn [perform_all]. rewrite E.
    destruct (perform through_cache p s) as [s' a]. cbn in H' |- *.
    destruct (IH s' H') as [E2 H2]. rewrite E2.
    destruct (perform_all through_cache ps s') as [s2 answers]. split; [reflexivity | exact H2].
  Qed.

  Lemma initial_ok : maps_ok initial.
  Proof. intros c. unfold context_of. cbn. rewrite lookup_empty. apply ok_empty. Qed.

  Lemma initial_abs : abs initial = initial.
  Proof. unfold abs, initial. cbn. rewrite fmap_empty. reflexivity. Qed.

  (** Answers and events of a whole trace are equal, and so is all that the trace sees afterwards. *)
  Theorem traces_refine ps :
    (perform_all through_cache ps (initial (M := M'))).2 = (perform_all through_cache ps (initial (M := M))).2.
  Proof.
    destruct (perform_all_refines ps initial initial_ok) as [E _]. rewrite initial_abs in E. rewrite E. reflexivity.
  Qed.

  Lemma abs_observe_context name s : maps_ok s -> observe_context name (abs s) = observe_context name s.
  Proof.
    intros Hs. unfold observe_context. change (names (abs s)) with (names s).
    destruct (names s !! name) as [c|]; [|reflexivity]. rewrite abs_context_of. cbn [abs_context ctx_map].
    rewrite view_items by apply Hs. reflexivity.
  Qed.

  Theorem observations_refine ps :
    observe (perform_all through_cache ps (initial (M := M'))).1 =
    observe (perform_all through_cache ps (initial (M := M))).1.
  Proof.
    destruct (perform_all_refines ps initial initial_ok) as [E Hs]. rewrite initial_abs in E. rewrite E. cbn [fst].
    set (s := (perform_all through_cache ps initial).1) in *. unfold observe. f_equal.
    change (names (abs s)) with (names s). induction (map_to_list (names s)).*1 as [|name l IH]; cbn; [reflexivity|].
    rewrite abs_observe_context by exact Hs. destruct (observe_context name s); cbn; [f_equal|]; exact IH.
  Qed.
End refinement.

(** ** The trie represents the plain list *)

Global Program Instance hamt_represents : Represents (hamt value) (list (key * value)) := {
  ok := hamt_ok;
  view_of := hamt_items;
}.
Next Obligation. apply hamt_empty_ok. Qed.
Next Obligation. reflexivity. Qed.
Next Obligation. intros m k H. symmetry. apply hamt_find_represents, H. Qed.
Next Obligation. intros m k v Hk H. apply hamt_assoc_ok; assumption. Qed.
Next Obligation. intros m k v Hk H. apply (hamt_assoc_represents _ _ k v Hk H). Qed.
Next Obligation. intros m k Hk H. apply hamt_without_ok; assumption. Qed.
Next Obligation. intros m k Hk H. apply (hamt_without_represents _ _ k Hk H). Qed.
Next Obligation. intros m H. symmetry. apply hamt_count, H. Qed.
Next Obligation. reflexivity. Qed.

(** The machine over the trie answers every trace as the machine over the plain list. *)
Theorem hamt_machine_refines through_cache ps :
  (perform_all through_cache ps (initial (M := hamt value))).2 =
  (perform_all through_cache ps (initial (M := list (key * value)))).2.
Proof. symmetry. apply traces_refine. Qed.

(** And leaves the same to be seen. *)
Theorem hamt_machine_observes through_cache ps :
  observe (perform_all through_cache ps (initial (M := hamt value))).1 =
  observe (perform_all through_cache ps (initial (M := list (key * value)))).1.
Proof. symmetry. apply observations_refine. Qed.
