(** Copies are snapshots, threads do not show in one another, and enter and exit balance. *)
From stdpp Require Import base numbers gmap strings list.
From Coq Require Import Lia.
From Contextvars Require Import Words Bindings State Text Equality Life Machine.
From ContextvarsProofs Require Import Laws Frame Invariant Maps.
Local Open Scope N_scope.

Section isolation.
  Context {M : Type} `{Lawful M}.
  Context (through_cache : bool).
  Implicit Types (s : state M) (c : N).

  (** What a step does is what its operation does, or nothing. *)
  Lemma perform_cases p s :
    (perform through_cache p s).1 = set_events [] s \/
    (is_thread (set_events [] s) (step_thread p) /\
     (perform through_cache p s).1 = (operate through_cache (step_thread p) (step_operation p) (set_events [] s)).1).
  Proof.
    unfold perform, carry_out. set (e := set_events [] s).
    destruct (threads e !! step_thread p) as [t|] eqn:Et; cbn [default]; [|auto].
    destruct (th_live t) eqn:El; cbn; rewrite El; [|auto].
    destruct (forallb (is_bound e) (uses (step_operation p))); [|auto]. right. split.
    - unfold is_thread. rewrite Et. cbn. rewrite El. reflexivity.
    - destruct (operate through_cache (step_thread p) (step_operation p) e). reflexivity.
  Qed.

  (** A step that is no set or reset in a thread where [c] is current. *)
  Definition spares c p s : Prop :=
    binds (step_operation p) = false \/ current (thread_of s (step_thread p)) <> Some c.

  Lemma perform_spares c p s : c < next_context s -> spares c p s ->
    ctx_map (context_of (perform through_cache p s).1 c) = ctx_map (context_of s c) /\
    c < next_context (perform through_cache p s).1.
  Proof.
    intros Hc Hn. destruct (perform_cases p s) as [-> | [L ->]]; [auto|]. split.
    - apply (map_frame through_cache _ _ _ _ L Hc Hn).
    - pose proof (next_operate through_cache (step_thread p) (step_operation p) (set_events [] s)). cbn in *. lia.
  Qed.

  Fixpoint all_spare c ps s : Prop :=
    match ps with
    | [] => True
    | p :: rest => spares c p s /\ all_spare c rest (perform through_cache p s).1
    end.

  (** Only sets and resets where a context is current show in it, along any trace. *)
  Theorem snapshot c ps : forall s, c < next_context s -> all_spare c ps s ->
    ctx_map (context_of (perform_all through_cache ps s).1 c) = ctx_map (context_of s c).
  Proof.
    induction ps as [|p ps IH]; intros s Hc A; [reflexivity|]. destruct A as [Hp A]. cbn [perform_all].
    destruct (perform_spares c p s Hc Hp) as [E Hc']. destruct (perform through_cache p s) as [s' a]. cbn [fst] in *.
    specialize (IH s' Hc' A). destruct (perform_all through_cache ps s'). cbn [fst] in *. congruence.
  Qed.

  (** COPY-1: a copy is a new context with the source's bindings; the source is as it was. *)
  Theorem copy_shares source name s : inv s -> source < next_context s ->
    names (copy source name s) !! name = Some (next_context s) /\ source <> next_context s /\
    ctx_map (context_of (copy source name s) (next_context s)) = ctx_map (context_of s source) /\
    ctx_map (context_of (copy source name s) source) = ctx_map (context_of s source) /\
    ctx_entered (context_of (copy source name s) (next_context s)) = false.
  Proof.
    intros I Hs. unfold copy, name_context.
    assert (forall d x, context_of (set_names (insert name (next_context s)) (add_context x s)) d =
      if decide (next_context s = d) then x else context_of s d) as E by (intros d x; exact (context_of_add x s d)).
    rewrite !E, !decide_True by reflexivity. rewrite decide_False by lia. cbn. rewrite lookup_insert. repeat split; lia.
  Qed.

  (** ** Threads *)

  (** A context is current in one thread at most. *)
  Theorem current_one s th th' c : inv s ->
    current (thread_of s th) = Some c -> current (thread_of s th') = Some c -> th = th'.
  Proof.
    intros I E E'. unfold current in *.
    assert (forall th th', th_base (thread_of s th) = Some c -> on_stack s th' c -> False) as X.
    { intros t t' B O. destruct (inv_base s I t c B) as (_ & Ee & _).
      assert (ctx_entered (context_of s c) = true) by (apply (inv_entered s I); eauto). congruence. }
    destruct (th_stack (thread_of s th)) as [|d l] eqn:S, (th_stack (thread_of s th')) as [|d' l'] eqn:S'.
    - eapply (inv_base_one s I); eassumption.
    - injection E' as ->. exfalso. apply (X th th' E). unfold on_stack. rewrite S'. left.
    - injection E as ->. exfalso. apply (X th' th E'). unfold on_stack. rewrite S. left.
    - injection E as ->. injection E' as ->. apply (inv_one s I) with c; unfold on_stack; [rewrite S | rewrite S']; left.
  Qed.

  Definition about_thread (l : location) th : Prop :=
    l = AtStack th \/ l = AtBase th \/ l = AtVer th \/ l = AtFrames th.

  (** No operation of one thread touches what another has: stack, base, version, open calls. *)
  Theorem thread_frame th th' op s l : is_thread s th -> th <> th' -> about_thread l th' ->
    same l s (operate through_cache th op s).1.
  Proof.
    intros L Hne A. apply (frame through_cache th op s L). intros E.
    assert (forall f : list location, l ∈ f -> (forall x, x ∈ f -> about_thread x th' -> False) -> False) as X by eauto.
    assert (l ∈ base_fp th s -> False) as Hbase.
    { unfold base_fp, new_fp. destruct (current _); intros E'; repeat (apply elem_of_cons in E' as [E' | E']);
        try (inversion E'; fail); subst l; unfold about_thread in A; intuition congruence. }
    destruct op; cbn [footprint] in E; unfold on_named, set_fp, reset_fp, named_fp, probe_fp, new_fp, drop_fp,
      return_fp, end_fp, unwind_fp, run_fp, enter_fp in E;
      repeat match type of E with context [match ?x with _ => _ end] => destruct x end;
      repeat match type of E with
        | _ ∈ _ ++ _ => apply elem_of_app in E; destruct E as [E | E]
        | _ ∈ _ :: _ => apply elem_of_cons in E; destruct E as [E | E]
        | _ ∈ [] => inversion E
        | _ ∈ map _ _ => apply elem_of_list_fmap in E; destruct E as (? & E & _)
        end; try (exact (Hbase E)); try (subst l; unfold about_thread in A; intuition congruence).
  Qed.

  (** Thread isolation: what another thread looks up stays, whatever this one does. *)
  Theorem thread_isolation th th' op s v x : is_thread s th -> inv s -> th <> th' ->
    lookup_map (thread_of (operate through_cache th op s).1 th') v x (operate through_cache th op s).1 =
    lookup_map (thread_of s th') v x s.
  Proof.
    intros L I Hne. set (s' := (operate through_cache th op s).1).
    assert (current (thread_of s' th') = current (thread_of s th')) as Ec.
    { unfold current. pose proof (thread_frame th th' op s (AtStack th') L Hne) as E1. pose proof (thread_frame th th' op s (AtBase th') L Hne) as E2.
      unfold about_thread in *. cbn in E1, E2. fold s' in E1, E2. rewrite E1, E2 by auto. reflexivity. }
    unfold lookup_map. rewrite Ec. destruct (current (thread_of s th')) as [c|] eqn:Cu; [|reflexivity].
    unfold s'. rewrite (map_frame through_cache th op s c L); [reflexivity | apply (current_lt th' s c I Cu) |].
    right. intros E. apply Hne. eapply current_one; eassumption.
  Qed.

  (** ** Enter and exit *)

  Lemma switch_thread th stack s :
    th_stack (thread_of (switch th stack s) th) = stack /\ th_base (thread_of (switch th stack s) th) = th_base (thread_of s th) /\
    th_ver (thread_of (switch th stack s) th) = u64_next (th_ver (thread_of s th)).
  Proof. unfold switch, tell, thread_of. cbn. rewrite !lookup_insert. auto. Qed.

  (** ENTER-1: what was current is below. *)
  Theorem enter_pushes th c name s : ctx_entered (context_of s c) = false ->
    (enter th c name s).2 = None /\
    th_stack (thread_of (enter th c name s).1 th) = c :: th_stack (thread_of s th) /\
    current (thread_of (enter th c name s).1 th) = Some c /\
    ctx_entered (context_of (enter th c name s).1 c) = true.
  Proof.
    intros E. unfold enter. rewrite E. cbn [fst snd].
    destruct (switch_thread th (c :: th_stack (thread_of s th)) (set_entered c true s)) as (A & B & _).
    repeat split; auto.
    - unfold current. rewrite A. reflexivity.
    - change (context_of (switch th (c :: th_stack (thread_of s th)) (set_entered c true s)) c)
        with (context_of (put_context c (MkContext (ctx_map (context_of s c)) true (ctx_name (context_of s c))) s) c).
      rewrite context_of_put, decide_True by reflexivity. reflexivity.
  Qed.

  (** EXIT-1, RUN-1: an enter, anything that leaves the thread's stack as it finds it, and the exit:
      the exit succeeds, and stack, base and so what is current are as before. *)
  Theorem balanced th c name s s1 : inv s1 -> ctx_entered (context_of s c) = false ->
    th_stack (thread_of s1 th) = th_stack (thread_of (enter th c name s).1 th) ->
    th_base (thread_of s1 th) = th_base (thread_of (enter th c name s).1 th) ->
    (exit th c name s1).2 = None /\
    th_stack (thread_of (exit th c name s1).1 th) = th_stack (thread_of s th) /\
    current (thread_of (exit th c name s1).1 th) = current (thread_of s th) /\
    ctx_entered (context_of (exit th c name s1).1 c) = false.
  Proof.
    intros I E Es Eb. destruct (enter_pushes th c name s E) as (_ & A & _). rewrite A in Es.
    assert (ctx_entered (context_of s1 c) = true) as Ee.
    { apply (inv_entered s1 I). exists th. unfold on_stack. rewrite Es. left. }
    assert (th_base (thread_of (enter th c name s).1 th) = th_base (thread_of s th)) as Eb' by apply base_enter.
    unfold exit. rewrite Ee. unfold is_current, current at 1. rewrite Es, N.eqb_refl. cbn [negb fst snd tail].
    destruct (switch_thread th (th_stack (thread_of s th)) (set_entered c false s1)) as (S & B & _).
    assert (current (thread_of s1 th) = Some c) as Cu by (unfold current; rewrite Es; reflexivity).
    rewrite Cu, N.eqb_refl. cbn [negb fst snd]. 
    repeat split; auto.
    - unfold current. rewrite S, B. change (thread_of (set_entered c false s1) th) with (thread_of s1 th).
      rewrite Eb, Eb'. reflexivity.
    - change (ctx_entered (context_of (put_context c (MkContext (ctx_map (context_of s1 c)) false (ctx_name (context_of s1 c))) s1) c) = false).
      rewrite context_of_put, decide_True by reflexivity. reflexivity.
  Qed.

  (** ENTER-3, THREAD-4, THREAD-5: a context on a stack, of whichever thread, is refused. *)
  Theorem entered_refused th th' c name s : inv s -> on_stack s th' c ->
    enter th c name s = (s, Some (AlreadyEntered name)).
  Proof.
    intros I O. unfold enter. replace (ctx_entered (context_of s c)) with true; [reflexivity|].
    symmetry. apply (inv_entered s I). eauto.
  Qed.

  (** THREAD-5: no other thread can exit it, so that the context of an ended thread stays entered. *)
  Theorem other_thread_cannot_exit th th' c name s : inv s -> on_stack s th' c -> th <> th' ->
    exit th c name s = (s, Some (NotCurrent name)).
  Proof.
    intros I O Hne. unfold exit. replace (ctx_entered (context_of s c)) with true
      by (symmetry; apply (inv_entered s I); eauto). cbn [negb].
    destruct (is_current c (thread_of s th)) eqn:Cu; [|reflexivity]. exfalso. apply Hne.
    unfold is_current, current in Cu. destruct (th_stack (thread_of s th)) as [|d l] eqn:S.
    - destruct (th_base (thread_of s th)) as [b|] eqn:B; [|discriminate]. apply N.eqb_eq in Cu. subst b.
      destruct (inv_base s I th c B) as (_ & E & _).
      assert (ctx_entered (context_of s c) = true) by (apply (inv_entered s I); eauto). congruence.
    - apply N.eqb_eq in Cu. subst d. apply (inv_one s I) with c; [unfold on_stack; rewrite S; left | exact O].
  Qed.
End isolation.
